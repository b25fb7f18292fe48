package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/policy"
)

// SigningKey is a key that signs tokens, and its rotation. Its private half
// stays in one Secret of the controller's; verifiers get what they need through
// the bundles of the policies that refer to it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sgk,categories=gatepost
// +kubebuilder:printcolumn:name="Algorithm",type=string,JSONPath=`.spec.algorithm`
// +kubebuilder:printcolumn:name="Active-Key",type=string,JSONPath=`.status.activeKeyID`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Rotating",type=string,JSONPath=`.status.conditions[?(@.type=="Rotating")].reason`
// +kubebuilder:printcolumn:name="Next-Rotation",type=date,JSONPath=`.status.nextRotationTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name may have at most 52 characters, because names of Secrets are made from it"
type SigningKey struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata; the name has at most 52 characters.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the key that is wanted.
	// +required
	Spec SigningKeySpec `json:"spec"`

	// status is what the controller sees.
	// +optional
	Status SigningKeyStatus `json:"status,omitzero"`
}

// SigningKeyList is a list of SigningKeys.
// +kubebuilder:object:root=true
type SigningKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the keys.
	Items []SigningKey `json:"items"`
}

// SigningKeySpec is the key that is wanted.
// +kubebuilder:validation:XValidation:rule="!has(self.exportTo) || self.signer == 'External'",message="exportTo is for signer: External; an Issuer reads the key by itself"
// +kubebuilder:validation:XValidation:rule="self.source.type != 'SecretRef' || self.algorithm.startsWith('HS')",message="source.type SecretRef imports HMAC secrets: algorithm must be HS256, HS384 or HS512"
// +kubebuilder:validation:XValidation:rule="!has(self.exportTo) || !has(self.source.secretRef) || self.exportTo.secretName != self.source.secretRef.name",message="exportTo.secretName must differ from source.secretRef.name: the imported Secret belongs to somebody else"
// +kubebuilder:validation:XValidation:rule="duration(has(self.rotation.retireAfter) ? self.rotation.retireAfter : (self.signer == 'External' ? '24h' : '20m')) >= duration(self.maxTokenLifetime)",message="rotation.retireAfter (default 24h for signer External, 20m for Issuer) must be at least maxTokenLifetime, or the last tokens of an old key would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.rotation.interval) || duration(self.rotation.interval) > duration(self.rotation.prePublish) + duration(has(self.rotation.retireAfter) ? self.rotation.retireAfter : (self.signer == 'External' ? '24h' : '20m'))",message="rotation.interval must be longer than rotation.prePublish + rotation.retireAfter (default 24h for signer External, 20m for Issuer), or old keys would pile up"
type SigningKeySpec struct {
	// algorithm is the JWS algorithm of the tokens (RFC 7518 section 3.1, RFC 8037). It cannot be changed: make another SigningKey.
	// +optional
	// +kubebuilder:default=ES256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="algorithm is immutable: create another SigningKey and let the policy trust both while you move"
	Algorithm policy.Algorithm `json:"algorithm,omitempty"`

	// source says where key material comes from.
	// +optional
	// +kubebuilder:default={}
	Source KeySource `json:"source,omitzero"`

	// signer says who signs: a TokenIssuer (Issuer), or a back end outside of Gatepost that reads the exported Secret or already knows the imported one (External).
	// +optional
	// +kubebuilder:default=External
	Signer Signer `json:"signer,omitempty"`

	// exportTo is the Secret from which an external signer reads the key.
	// +optional
	ExportTo *ExportTo `json:"exportTo,omitempty"`

	// maxTokenLifetime is the longest lifetime of a token signed with the key: verifiers refuse longer ones, and an old key is kept at least that long. 1s to 8760h.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="maxTokenLifetime must be between 1s and 8760h"
	MaxTokenLifetime *policy.Duration `json:"maxTokenLifetime,omitempty"`

	// rotation says when the key is replaced, and how carefully.
	// +optional
	// +kubebuilder:default={}
	Rotation Rotation `json:"rotation,omitzero"`
}

// KeySource says where key material comes from.
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'SecretRef') == has(self.secretRef)",message="secretRef must be set when type is SecretRef, and only then"
// +kubebuilder:validation:XValidation:rule="!(has(self.allowShortSecret) && self.allowShortSecret) || self.type == 'SecretRef'",message="allowShortSecret is about imported secrets: remove it, or set type: SecretRef"
type KeySource struct {
	// type is Generated (random, made by the controller, never leaves the cluster except by exportTo) or SecretRef (an existing secret; rotation is a change of the value it refers to).
	// +optional
	// +kubebuilder:default=Generated
	Type SourceType `json:"type,omitempty"`

	// secretRef names the Secret's data keys that hold the HMAC secret.
	// +optional
	SecretRef *ImportRef `json:"secretRef,omitempty"`

	// allowShortSecret accepts an HMAC secret that is shorter than its hash (RFC 7518 section 3.2 forbids them: short secrets are guessed offline).
	// +optional
	// +kubebuilder:default=false
	AllowShortSecret bool `json:"allowShortSecret,omitempty"`
}

// SourceType says where key material comes from.
// +kubebuilder:validation:Enum=Generated;SecretRef
type SourceType string

// The sources of key material.
const (
	SourceGenerated SourceType = "Generated"
	SourceSecretRef SourceType = "SecretRef"
)

// ImportRef names the data keys of a Secret that somebody else writes.
// +kubebuilder:validation:XValidation:rule="!has(self.nextKey) || self.nextKey != self.key",message="nextKey must differ from key"
type ImportRef struct {
	// name is the Secret's name, in the SigningKey's namespace.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.gatepost-state') && !self.endsWith('.gatepost-bundle') && !self.endsWith('.gatepost-issuer')",message="name may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer: those Secrets are the controller's own"
	Name string `json:"name"`

	// key is the data key whose bytes, exactly as they are, sign now.
	// +required
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`

	// nextKey is the data key whose bytes will sign next: verifiers accept them already, which closes the gap while a changed value travels to them.
	// +optional
	// +kubebuilder:validation:Pattern=`^([-._a-zA-Z0-9]+)?$`
	// +kubebuilder:validation:MaxLength=253
	NextKey string `json:"nextKey,omitempty"`
}

// Signer says who signs.
// +kubebuilder:validation:Enum=Issuer;External
type Signer string

// The signers.
const (
	SignerIssuer   Signer = "Issuer"
	SignerExternal Signer = "External"
)

// ExportTo is the Secret from which an external signer reads the key: data keys
// current, previous and next, each with its id (current.kid), and jwks.json,
// beside valueKey.
type ExportTo struct {
	// secretName is the name of the Secret to make, in the SigningKey's namespace. An existing Secret that the controller did not make is never touched.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.gatepost-state') && !self.endsWith('.gatepost-bundle') && !self.endsWith('.gatepost-issuer')",message="secretName may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer: those Secrets are the controller's own"
	SecretName string `json:"secretName"`

	// valueKey is one more data key for the current value, for signers that expect a certain name, such as JWT_SECRET with envFrom.
	// +optional
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!(self in ['current', 'current.kid', 'previous', 'previous.kid', 'next', 'next.kid', 'jwks.json'])",message="valueKey may not be current, previous, next, one of these with .kid, or jwks.json: they are the controller's own"
	ValueKey string `json:"valueKey,omitempty"`

	// annotations are set on the exported Secret, for example to make a reloader restart the signer.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(name, size(name) <= 317 && size(self[name]) <= 4096)",message="annotations may have names of up to 317 and values of up to 4096 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(name, !name.startsWith('gatepost.dev/') && !name.startsWith('kubectl.kubernetes.io/'))",message="annotations may not begin with gatepost.dev/ or kubectl.kubernetes.io/"
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Rotation says when the key is replaced, and how carefully: published to
// verifiers, then used by signers, then retired, then removed.
type Rotation struct {
	// interval is the time from one key's first use to the publication of the next. Absent: only by the annotation gatepost.dev/rotate-now or, for imported secrets, by a changed value.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="interval must be at most 87600h"
	Interval *policy.Duration `json:"interval,omitempty"`

	// prePublish is how long verifiers know a key before a signer uses it.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('720h')",message="prePublish must be at most 720h"
	PrePublish *policy.Duration `json:"prePublish,omitempty"`

	// waitForVerifiers holds a new key back until every guarded pod has acknowledged it.
	// +optional
	// +kubebuilder:default=true
	WaitForVerifiers *bool `json:"waitForVerifiers,omitempty"`

	// verifierTimeout is how long lagging verifiers are waited for before onTimeout applies.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('720h')",message="verifierTimeout must be at most 720h"
	VerifierTimeout *policy.Duration `json:"verifierTimeout,omitempty"`

	// onTimeout says what happens when verifierTimeout is over: the rotation waits on and the key is Degraded (Wait), or the new key is used although some verifiers lack it (Proceed).
	// +optional
	// +kubebuilder:default=Wait
	OnTimeout OnTimeout `json:"onTimeout,omitempty"`

	// retireAfter is how long an old key is accepted after its successor took over; default 24h for signer External, 20m for Issuer. At least maxTokenLifetime, clock skew and the controller's margin.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8784h')",message="retireAfter must be at most 8784h"
	RetireAfter *policy.Duration `json:"retireAfter,omitempty"`

	// suspend stops new rotations; one that is under way is completed, and keys can still be revoked.
	// +optional
	// +kubebuilder:default=false
	Suspend bool `json:"suspend,omitempty"`
}

// OnTimeout says what happens when verifiers lag for too long.
// +kubebuilder:validation:Enum=Wait;Proceed
type OnTimeout string

// What happens when verifiers lag for too long.
const (
	OnTimeoutWait    OnTimeout = "Wait"
	OnTimeoutProceed OnTimeout = "Proceed"
)
