package v1alpha1

// The group, its version and its kinds.
const (
	Group               = "gatepost.dev"
	Version             = "v1alpha1"
	KindSigningKey      = "SigningKey"
	KindAgentAuthPolicy = "AgentAuthPolicy"
	KindAPIKey          = "APIKey"
	KindTokenIssuer     = "TokenIssuer"
)

// Labels.
const (
	// LabelInjection on a namespace, with the value InjectionEnabled, puts its
	// pods before the injector.
	LabelInjection = "gatepost.dev/injection"
	// InjectionEnabled is the value of LabelInjection that switches it on.
	InjectionEnabled = "enabled"
	// LabelInject on a pod asks for the sidecar ("true") or, where the policy
	// has allowOptOut, declines it ("false").
	LabelInject = "gatepost.dev/inject"
	// LabelInjected is set to "true" on pods that carry the sidecar; monitors
	// select by it, no decision rests on it.
	LabelInjected = "gatepost.dev/injected"
	// LabelComponent says what a Secret of the controller's is for: one of the
	// Component values.
	LabelComponent = "gatepost.dev/component"
)

// The values of LabelComponent.
const (
	ComponentBundle = "bundle"
	ComponentState  = "state"
	ComponentExport = "export"
	// ComponentIssuer is also on an issuer's Deployment, its pods and its Service.
	ComponentIssuer = "issuer"
)

// Annotations that people write. Those on a SigningKey are verbs, carried out
// once for each value.
const (
	// AnnotationRotateNow on a SigningKey starts a rotation whenever its value
	// changes to another that is not empty.
	AnnotationRotateNow = "gatepost.dev/rotate-now"
	// AnnotationRevokeKey on a SigningKey holds the key id to revoke.
	AnnotationRevokeKey = "gatepost.dev/revoke-key"
	// AnnotationConfirmSigner on a SigningKey holds the new key id that every
	// external signer is known to use.
	AnnotationConfirmSigner = "gatepost.dev/confirm-signer"
	// AnnotationCPURequest, AnnotationCPULimit, AnnotationMemoryRequest and
	// AnnotationMemoryLimit on a pod size its sidecar.
	AnnotationCPURequest    = "gatepost.dev/sidecar-cpu-request"
	AnnotationCPULimit      = "gatepost.dev/sidecar-cpu-limit"
	AnnotationMemoryRequest = "gatepost.dev/sidecar-memory-request"
	AnnotationMemoryLimit   = "gatepost.dev/sidecar-memory-limit"
	// AnnotationLogLevel on a pod is its sidecar's: debug, info, warn or error.
	AnnotationLogLevel = "gatepost.dev/log-level"
)

// Annotations that Gatepost writes.
const (
	// AnnotationStatus on a pod is a note of what was injected (JSON: policy,
	// image, ports). It is never read back to decide anything.
	AnnotationStatus = "gatepost.dev/status"
	// AnnotationBundleRevision on a pod makes the kubelet sync the pod's mounts
	// at once; its value is the bundle's revision, in decimal.
	AnnotationBundleRevision = "gatepost.dev/bundle-revision"
	// AnnotationBundleSince on a bundle Secret is the revision, in decimal, from
	// which on each followed from the one before: at it the bundle was made, or
	// numbered anew because an older one had been put back.
	AnnotationBundleSince = "gatepost.dev/bundle-since"
)

// Names of what Gatepost creates.
const (
	// BundleSuffix follows a policy's name in the name of its bundle Secret.
	BundleSuffix = ".gatepost-bundle"
	// StateSuffix follows a key's name in the name of its private state Secret.
	StateSuffix = ".gatepost-state"
	// IssuerSuffix follows an issuer's name in the name of its bundle Secret.
	IssuerSuffix = ".gatepost-issuer"
	// MaxNameLength bounds the names of our kinds, so that with a suffix they
	// are still names.
	MaxNameLength = 52
	// FieldOwner is the controller's name in server-side apply.
	FieldOwner = "gatepost-controller"
	// ContainerName is the sidecar's name in a pod.
	ContainerName = "gatepost"
	// VolumeName is the name of the volume that holds the bundle.
	VolumeName = "gatepost-bundle"
	// BundleMountPath is where the sidecar, and nobody else, sees the bundle.
	BundleMountPath = "/etc/gatepost/bundle"
	// StateVolumeName is the name of the volume that keeps remote key sets while
	// the sidecar restarts.
	StateVolumeName = "gatepost-state"
	// StateMountPath is where the sidecar, and nobody else, sees it.
	StateMountPath = "/var/lib/gatepost"
	// BundlePolicyKey and BundleKeysKey are the bundle's data keys.
	BundlePolicyKey = "policy.json"
	BundleKeysKey   = "keys.json"
	// AdminPortName names the sidecar's admin port, AdminPort is its default.
	AdminPortName = "gatepost-adm"
	AdminPort     = 19901
	// SidecarUID is the user and group that the sidecar runs as.
	SidecarUID = 10753
)

// What an issuer's pod is made of.
const (
	// IssuerContainerName is the issuer's name in its pod.
	IssuerContainerName = "gatepost-issuer"
	// IssuerVolumeName is the name of the volume that holds the issuer's bundle.
	IssuerVolumeName = "gatepost-issuer"
	// IssuerMountPath is where the issuer sees its bundle.
	IssuerMountPath = "/etc/gatepost/issuer"
	// IssuerPortName names the port that clients call, IssuerPort is it.
	IssuerPortName = "http"
	IssuerPort     = 8080
	// IssuerDocumentKey, IssuerSignerKey, IssuerUsersKey and
	// IssuerServiceAccountsKey are the data keys of the issuer's bundle beside
	// BundleKeysKey.
	IssuerDocumentKey        = "issuer.json"
	IssuerSignerKey          = "signer.json"
	IssuerUsersKey           = "users"
	IssuerServiceAccountsKey = "serviceaccounts.json"
)

// Data keys of an exported Secret, beside the one the user names.
const (
	ExportCurrent    = "current"
	ExportCurrentKID = "current.kid"
	// ExportPreviousKID and ExportNextKID are there when previous and next are.
	ExportPreviousKID = "previous.kid"
	ExportNextKID     = "next.kid"
	ExportPrevious    = "previous"
	ExportNext        = "next"
	ExportJWKS        = "jwks.json"
)

// BundleName is the name of a policy's bundle Secret.
func BundleName(policy string) string { return policy + BundleSuffix }

// StateName is the name of a key's state Secret.
func StateName(key string) string { return key + StateSuffix }

// IssuerName is the name of an issuer's bundle Secret.
func IssuerName(issuer string) string { return issuer + IssuerSuffix }

// IssuerWorkload is the name of an issuer's Deployment and Service, and of what
// else its pods need.
func IssuerWorkload(issuer string) string { return issuer + "-issuer" }
