package inject

import "fmt"

// Reason says in one word why a pod cannot be guarded. The set is closed: the
// reason is a metric label.
type Reason string

// The reasons of a Refusal.
const (
	ReasonHostNetwork   Reason = "host_network"
	ReasonSharedProcess Reason = "shared_process_namespace"
	ReasonOS            Reason = "operating_system"
	ReasonNameTaken     Reason = "name_taken"
	ReasonSecretMounted Reason = "secret_mounted"
	ReasonAdminPort     Reason = "admin_port"
	ReasonCapture       Reason = "capture"
	ReasonNoPorts       Reason = "no_ports"
	ReasonTooManyPorts  Reason = "too_many_ports"
	ReasonProtocol      Reason = "protocol"
	ReasonProbe         Reason = "probe"
	ReasonSysctl        Reason = "sysctl"
	ReasonAnnotation    Reason = "annotation"
	ReasonSelector      Reason = "selector"
	ReasonNoPolicy      Reason = "no_policy"
	ReasonOptOut        Reason = "opt_out"
	ReasonNotSupported  Reason = "not_supported"
	ReasonConfiguration Reason = "configuration"
)

// Refusal is the error of a pod that cannot be guarded as it is. Field is the
// path of what is in the way, Detail says why and what to change instead.
type Refusal struct {
	Reason Reason
	Field  string
	Detail string
}

// Error is the field and the detail, for the person who applied the pod.
func (r *Refusal) Error() string { return r.Field + ": " + r.Detail }

// refuse makes a Refusal; the detail is a format.
func refuse(reason Reason, field, detail string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Field: field, Detail: fmt.Sprintf(detail, args...)}
}

// Warning is what the person who applied a pod should know although the pod
// was guarded.
type Warning string
