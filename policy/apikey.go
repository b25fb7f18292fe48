package policy

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

// APIKeySpec is one client that identifies itself with an API key: who it is,
// the hashes of its keys and what it may do. It is the inline spec of the APIKey
// resource and of the APIKey documents beside a policy file.
// +kubebuilder:validation:XValidation:rule="!(self.clientID in ['unknown', 'other'])",message="clientID may not be unknown or other: metrics call so a key nobody has, and clients beyond those they count"
// +kubebuilder:validation:XValidation:rule="!self.clientID.lowerAscii().contains('gpk_')",message="clientID looks like a key: keys are never written down, only their hashes are"
// +kubebuilder:validation:XValidation:rule="self.values.filter(v, !has(v.expiresAt)).size() <= 2",message="at most two values may be live at once: give one of them an expiresAt, or remove it"
// +kubebuilder:validation:XValidation:rule="self.values.all(v, self.values.exists_one(w, w.keyHash == v.keyHash))",message="two values have the same keyHash: remove one"
type APIKeySpec struct {
	// clientID names the client in rules, in the header for the agent, in metrics and in logs.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	ClientID string `json:"clientID"`

	// values are the client's keys; at most two may be live at once, so that a key can be replaced without a gap.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Values []APIKeyValue `json:"values"`

	// scopes are what the client may do; rules and the agent see them as the claim scopes.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`

	// claims are further claims of the client, all of them texts; rules and claimToHeaders see them like those of a token. The names scope and scopes and those of a token's own claims (exp, nbf, iat, iss, aud, jti) are not possible.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(name, size(name) >= 1 && size(name) <= 256)",message="names of claims have 1 to 256 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(name, !(name in ['scope', 'scopes', 'exp', 'nbf', 'iat', 'iss', 'aud', 'jti']))",message="scope and scopes are set by spec.scopes; exp, nbf, iat, iss, aud and jti are claims of tokens only"
	Claims map[string]ClaimText `json:"claims,omitempty"`

	// suspend refuses all of the client's keys while it is true.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// APIKeyValue is one key of a client, known by its hash alone.
type APIKeyValue struct {
	// name tells the client's keys apart.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// keyHash is the SHA-256 of the key's text in lower-case hexadecimal, after sha256:, as gatepost apikey create prints it.
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	KeyHash string `json:"keyHash"`

	// expiresAt is the time (RFC 3339) from which the key is refused; absent, it does not expire.
	// +optional
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:MaxLength=64
	ExpiresAt *string `json:"expiresAt,omitempty"`
}

// ClaimText is a claim whose value is a text.
// +kubebuilder:validation:MaxLength=1024
type ClaimText string

// MaxLiveAPIKeyValues is how many values of one client may be live at once.
const MaxLiveAPIKeyValues = 2

// CheckAPIKey keeps every bound of an APIKeySpec that does not depend on the
// time. The error is of type Errors; field paths begin with "spec.".
func CheckAPIKey(s APIKeySpec) error {
	var c checker
	if c.KeyText("spec.clientID", s.ClientID) {
		return c.Errors
	}
	c.Text("spec.clientID", s.ClientID, clientForm)
	if s.ClientID == "unknown" || s.ClientID == "other" {
		c.Fail("spec.clientID", "%q is a word of the metrics: choose another", s.ClientID)
	}
	c.apiKeyValues("spec.values", s.Values)
	for i, scope := range s.Scopes {
		c.KeyText(bounds.At("spec.scopes", i), scope)
	}
	c.Texts("spec.scopes", s.Scopes, 64, bounds.Scope)
	c.Count("spec.claims", len(s.Claims), 0, 16)
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		c.apiKeyClaim("spec.claims", name, string(s.Claims[name]))
	}
	return c.Err()
}

func (c *checker) apiKeyValues(field string, values []APIKeyValue) {
	c.Count(field, len(values), 1, 8)
	lasting := 0
	names, hashes := make([]string, len(values)), make(map[string]bool, len(values))
	for i, v := range values {
		field := bounds.At(field, i)
		names[i] = v.Name
		if !c.KeyText(field+".name", v.Name) {
			c.Text(field+".name", v.Name, bounds.Label)
		}
		if !hashForm.MatchString(v.KeyHash) { // never quoted: it may be a key that somebody put in place of its hash
			c.Fail(field+".keyHash", "is no hash of a key: use the one that gatepost apikey create prints")
		}
		if hashes[v.KeyHash] && v.KeyHash != "" {
			c.Fail(field+".keyHash", "is the same as that of a value before: remove one")
		}
		hashes[v.KeyHash] = true
		if v.ExpiresAt == nil {
			lasting++
			continue
		}
		c.apiKeyExpiry(field+".expiresAt", *v.ExpiresAt)
	}
	bounds.Unique(&c.Checker, field, names)
	if lasting > MaxLiveAPIKeyValues {
		c.Fail(field, "has %d values without expiresAt: at most %d may be live at once; give one an expiresAt, or remove it", lasting, MaxLiveAPIKeyValues)
	}
}

// apiKeyExpiry wants a time that can be written in UTC as well: a status shows
// it so.
func (c *checker) apiKeyExpiry(field, text string) {
	if c.KeyText(field, text) {
		return
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || len(text) > 64 {
		c.Fail(field, "%q is no time: write it like 2027-03-01T00:00:00Z (RFC 3339)", text)
	} else if year := at.UTC().Year(); year < 1970 || year > 9999 {
		c.Fail(field, "%q is not in the years 1970 to 9999 of UTC: leave it out if the key does not expire", text)
	}
}

func (c *checker) apiKeyClaim(field, name, value string) {
	if c.KeyText(field, name) {
		return
	}
	c.Text(field, name, bounds.Form{Most: 256})
	switch name {
	case "scope", "scopes":
		c.Fail(field+"."+name, "is set by spec.scopes: write it there")
	case "exp", "nbf", "iat", "iss", "aud", "jti":
		c.Fail(field+"."+name, "is a claim of tokens only: choose another name")
	}
	if !c.KeyText(field+"."+name, value) {
		c.Optional(field+"."+name, value, bounds.Form{Most: 1024})
	}
}

// apiKeyAuth checks where keys come from, and that nothing else is there.
func (c *checker) apiKeyAuth(field string, s *Spec) {
	a := s.APIKeyAuth
	c.Count(field+".credentialSelector.matchLabels", len(a.CredentialSelector.MatchLabels), 0, 16)
	c.Count(field+".extractFrom", len(a.ExtractFrom), 0, 4)
	taken := tokenCarriers(s.JWT)
	keys := make([]string, len(a.ExtractFrom))
	for i, source := range a.ExtractFrom {
		field := bounds.At(field+".extractFrom", i) + ".header"
		c.Text(field, source.Header, bounds.Header)
		keys[i] = foldHeader(source.Header)
		switch name := keys[i]; {
		case slices.Contains(taken, name):
			c.Fail(field, "%q carries the token: choose another header", source.Header)
		case slices.Contains(keys[:i], name) && name != "":
			c.Fail(field, "%q is in the list twice: remove one", source.Header)
		case isWritten(name) || isSteering(name):
			c.Fail(field, "%q cannot carry a key: use X-API-Key or a header of your own", source.Header)
		}
	}
	c.claimsBesideKeys(s)
	c.clientIDHeader(field+".forwardClientIDHeader", s, append(taken, keyCarriers(a)...))
}

// clientIDHeader keeps the header that tells the agent who the client is apart
// from everything else that the agent or the guard reads.
func (c *checker) clientIDHeader(field string, s *Spec, carriers []string) {
	header := clientHeader(s.APIKeyAuth)
	c.Text(field, header, bounds.Header)
	c.outputHeader(field, header)
	name := foldHeader(header)
	switch {
	case slices.Contains(carriers, name):
		c.Fail(field, "%q carries a credential: choose another header", header)
	case slices.Contains(identityHeaders(), name):
		c.Fail(field, "%q tells the agent something else: choose another header", header)
	}
	if s.JWT == nil {
		return
	}
	for _, m := range s.JWT.ClaimToHeaders {
		if foldHeader(m.Header) == name {
			c.Fail(field, "%q is set by spec.jwt.claimToHeaders: choose another header", header)
		}
	}
}

// identityHeaders are the folded names of the headers that the agent gets of
// every principal.
func identityHeaders() []string {
	return []string{
		"x-auth-subject", "x-auth-email", "x-auth-name", "x-auth-roles", "x-auth-scopes", "x-auth-tenant", "x-auth-provider", "x-auth-expires",
	}
}

// tokenCarriers are the folded names of the headers that may carry a token.
func tokenCarriers(j *JWT) []string {
	names := []string{"authorization"}
	if j == nil || j.ExtractFrom == nil {
		return names
	}
	for _, h := range j.ExtractFrom.Headers {
		names = append(names, foldHeader(h.Name))
	}
	return names
}

var (
	clientForm = bounds.Form{Most: 63, Pattern: regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`), Hint: "is no client id: use letters, digits and inner dots, underscores and hyphens"}
	hashForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)
