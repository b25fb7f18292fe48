package issuing

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

const secret = "an HMAC secret of thirty-two bytes or more"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const document = `{"apiVersion":"gatepost.dev/v1alpha1","kind":"TokenIssuer","metadata":{"name":"auth","namespace":"agents"},"spec":{
"issuer":"https://auth.example/agents","signingKeyRef":{"name":"agent-es256"},"audiences":["https://chat.example"],
"grants":["Session","ClientCredentials","TokenExchange"],
"session":{"providers":[
 {"name":"own","algorithms":["HS256"],"secretRef":{"name":"session","keys":["current"]}},
 {"name":"app","algorithms":["HS256"],"secretRef":{"name":"app","keys":["current"]},"extractFrom":{"cookie":"session"}}]},
"clients":{"credentialSelector":{}},
"tokenExchange":{"serviceAccounts":[{"name":"batch"}]},
"cors":{"allowOrigins":["https://app.example"]}}}`

// newKey is a key that signs, with its public half.
func newKey(t *testing.T, alg, kid string) (token.Key, keyring.VerifyKey) {
	t.Helper()
	key, err := token.Generate(alg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.KID = kid
	if isSecretAlgorithm(alg) {
		return key, keyring.VerifyKey{}
	}
	public, err := token.PublicJWK(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, keyring.VerifyKey{KID: kid, Alg: alg, JWK: public}
}

func pemOf(t *testing.T, key token.Key) []byte {
	t.Helper()
	text, err := token.PrivatePEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parts is a bundle in parts, for a test to change.
type parts struct {
	document string
	keys     keyring.File
	signer   keyring.SignerFile
	cluster  keyring.ServiceAccountsFile
	users    string
}

func newParts(t *testing.T) *parts {
	t.Helper()
	key, public := newKey(t, "ES256", "3-abcdefghij")
	_, next := newKey(t, "ES256", "5-abcdefghij")
	cluster, _ := newKey(t, "RS256", "cluster")
	set, err := token.PublicJWKS([]token.Key{cluster})
	if err != nil {
		t.Fatal(err)
	}
	hmac := func(kid string) []keyring.VerifyKey {
		return []keyring.VerifyKey{{KID: kid, K: keyring.Octets(secret)}}
	}
	return &parts{
		document: document,
		keys: keyring.File{
			Revision: 7, AckKey: keyring.Octets("ack"), SigningKeys: map[string]int64{"agent-es256": 5},
			Providers: map[string]keyring.FileProvider{"own": {Keys: hmac("a")}, "app": {Keys: hmac("b")}},
		},
		signer: keyring.SignerFile{
			SigningKey: "agent-es256", Algorithm: "ES256", MaxTokenLifetime: 15 * time.Minute,
			KID: key.KID, Value: pemOf(t, key), Publish: []keyring.VerifyKey{public, next},
		},
		cluster: keyring.ServiceAccountsFile{Issuer: "https://kubernetes.default.svc", JWKS: set},
	}
}

func (p *parts) load(t *testing.T, options bundle.Options) (*Snapshot, error) {
	t.Helper()
	data := map[string][]byte{DocumentKey: []byte(p.document), UsersKey: []byte(p.users), "another": []byte("x")}
	var err error
	if data[KeysKey], err = p.keys.Marshal(); err != nil {
		t.Fatal(err)
	}
	if data[SignerKey], err = p.signer.Marshal(); err != nil {
		t.Fatal(err)
	}
	if data[ServiceAccountsKey], err = p.cluster.Marshal(); err != nil {
		t.Fatal(err)
	}
	return Load(Files(data), options)
}

func TestIssuerIsLoadedWhole(t *testing.T) {
	t.Parallel()
	got, err := newParts(t).load(t, bundle.Options{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	places := []string{}
	for _, place := range got.Places {
		places = append(places, place.Header+place.Cookie)
	}
	if diff := cmp.Diff([]string{"authorization", "session"}, places); diff != "" {
		t.Errorf("places of session tokens (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"agent-es256": {"3-abcdefghij", "5-abcdefghij"}}, got.KIDs); diff != "" {
		t.Errorf("key ids (-want +got):\n%s", diff)
	}
	if got.Name != "auth" || got.Namespace != "agents" || got.Revision != 7 || got.Generations["agent-es256"] != 5 ||
		!got.Signer.CanSign() || got.Clients == nil || got.ServiceAccounts == nil || got.Sessions == nil {
		t.Errorf("something is missing: %+v", got)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(got.JWKS, &set); err != nil || len(set.Keys) != 2 || set.Keys[0]["kid"] != "3-abcdefghij" || set.Keys[0]["d"] != nil {
		t.Errorf("the key set is %s (%v)", got.JWKS, err)
	}
	text, err := token.Mint(got.Signer.Key, nil, map[string]any{"exp": noon.Unix()})
	if err != nil || strings.Count(text, ".") != 2 {
		t.Errorf("signing: %v", err)
	}
}

func TestIssuersThatAreNotRightAreRefused(t *testing.T) {
	t.Parallel()
	other, _ := newKey(t, "ES256", "3-abcdefghij")
	for sentence, test := range map[string]struct {
		change func(p *parts)
		says   string
	}{
		"a document with an unknown field": {func(p *parts) {
			p.document = strings.Replace(p.document, `"issuer":`, `"verifierURL":"x","issuer":`, 1)
		}, "verifierURL"},
		"a signer of another SigningKey":      {func(p *parts) { p.signer.SigningKey = "b" }, "different editions"},
		"tokens that outlive the key's cap":   {func(p *parts) { p.signer.MaxTokenLifetime = time.Minute }, "spec.tokenLifetime: 2m0s is more than the 1m0s"},
		"a private key that is not the shown": {func(p *parts) { p.signer.Value = pemOf(t, other) }, "is another's"},
		"a private key that is none":          {func(p *parts) { p.signer.Value = []byte("secretsecret") }, "reading the private key"},
		"no keys of a provider":               {func(p *parts) { delete(p.keys.Providers, "app") }, "spec.session.providers[1]"},
		"a key set of the cluster of nothing": {func(p *parts) { p.cluster.JWKS = json.RawMessage(`{"keys":[]}`) }, "serviceaccounts.json"},
		"an older revision":                   {func(p *parts) { p.keys.Revision = 5 }, "an older state of the cluster"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			p := newParts(t)
			test.change(p)
			got, err := p.load(t, bundle.Options{Now: noon, MinRevision: 6})
			if err == nil || !strings.Contains(err.Error(), test.says) || got != nil {
				t.Fatalf("%v, want an error that says %q", err, test.says)
			}
			if strings.Contains(err.Error(), "secretsecret") || strings.Contains(fmt.Sprintf("%+v", err), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
			if strings.Contains(sentence, "older") != errors.Is(err, bundle.ErrOlderRevision) {
				t.Errorf("wraps ErrOlderRevision: %v", err)
			}
		})
	}
}

// Without a key, or with a revoked one, nobody signs; everything else goes on.
func TestIssuerWithoutAKeyThatMaySign(t *testing.T) {
	t.Parallel()
	none, revoked, remembered := newParts(t), newParts(t), newParts(t)
	none.signer.KID, none.signer.Value = "", nil
	revoked.keys.Revoked = map[string][]string{"agent-es256": {"3-abcdefghij"}}
	before := bundle.Facts{AckKey: token.Secret("ack"), Revision: 6, Revoked: map[string][]string{"agent-es256": {"3-abcdefghij"}}}
	for sentence, test := range map[string]struct {
		parts   *parts
		options bundle.Options
	}{
		"there is none":                        {none, bundle.Options{Now: noon}},
		"keys.json calls it revoked":           {revoked, bundle.Options{Now: noon}},
		"it was revoked in the edition before": {remembered, bundle.Options{Now: noon, InForce: before}},
	} {
		got, err := test.parts.load(t, test.options)
		if err != nil {
			t.Errorf("%s: %v", sentence, err)
			continue
		}
		if got.Signer.CanSign() || len(got.Warnings) == 0 || len(got.JWKS) < 20 {
			t.Errorf("%s: signs with %s, warns %q", sentence, got.Signer.Key, got.Warnings)
		}
	}
}

func TestIssuerOfADirectory(t *testing.T) {
	t.Parallel()
	es, esPublic := newKey(t, "ES256", "k7")
	rs, _ := newKey(t, "RS256", "")
	ed, _ := newKey(t, "EdDSA", "")
	set := fmt.Appendf(nil, `{"keys":[%s]}`, esPublic.JWK)
	document := `{"apiVersion":"gatepost.dev/v1alpha1","kind":"TokenIssuer","metadata":{"name":"auth"},"spec":{"issuer":"http://127.0.0.1:8080",
"signingKeyRef":{"name":"k"},"audiences":["a"],"grants":["Session"],"session":{"anonymous":{"rateLimit":"5/m"}}}}`
	for sentence, test := range map[string]struct {
		files          map[string][]byte
		alg, kid, says string
		shown          int
	}{
		"a secret":                            {map[string][]byte{"k/current": []byte(secret)}, "HS256", "current", "", 0},
		"a secret with an id":                 {map[string][]byte{"k/current": []byte(secret), "k/current.kid": []byte("1-a\n")}, "HS256", "1-a", "", 0},
		"a private key alone":                 {map[string][]byte{"k/current": pemOf(t, es)}, "ES256", "", "", 1},
		"a private key and its set":           {map[string][]byte{"k/current": pemOf(t, es), "k/current.kid": []byte("k7"), "k/jwks.json": set}, "ES256", "k7", "", 1},
		"a private key and another's set":     {map[string][]byte{"k/current": pemOf(t, rs), "k/jwks.json": set}, "", "", "publish", 0},
		"an RSA key":                          {map[string][]byte{"k/current": pemOf(t, rs)}, "RS256", "", "", 1},
		"an Ed25519 key":                      {map[string][]byte{"k/current": pemOf(t, ed)}, "EdDSA", "", "", 1},
		"no key":                              {map[string][]byte{"other/current": []byte(secret)}, "", "", "create keys/k/current", 0},
		"a short secret":                      {map[string][]byte{"k/current": []byte("short")}, "", "", "shorter than the hash", 0},
		"PEM of something else":               {map[string][]byte{"k/current": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}, "", "", "no private key in PEM", 0},
		"a set under the key's id of another": {map[string][]byte{"k/current": pemOf(t, ed), "k/current.kid": []byte("k7"), "k/jwks.json": []byte(strings.ReplaceAll(string(set), `"alg":"ES256",`, ""))}, "", "", "", 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got, err := Load(Directory([]byte(document), "keys", test.files, nil), bundle.Options{Now: noon})
			if test.alg == "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("%v, want an error that says %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Signer.Algorithm != test.alg || test.kid != "" && got.Signer.Key.KID != test.kid || test.kid == "" && len(got.Signer.Key.KID) != 32 || len(got.KIDs["k"]) != test.shown {
				t.Errorf("signs with %s, shows %v", got.Signer.Key, got.KIDs)
			}
		})
	}
}
