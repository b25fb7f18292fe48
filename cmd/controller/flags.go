package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/controller/inject"
	"gatepost.dev/gatepost/controller/webhook"
)

// settings are the flags, read and checked.
type settings struct {
	controller.Config
	webhook  webhook.Config
	logLevel string
}

const defaultWebhookPort = 9443

// parse reads the flags. Errors name the flag and what it should be.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var watch, pull, issuerPull string
	var adminPort int
	set := flag.NewFlagSet("controller", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&s.SidecarImage, "sidecar-image", "", "`image` of the sidecar that pods get (required)")
	set.StringVar(&s.IssuerImage, "issuer-image", "", "`image` of the pods of TokenIssuers; empty: none can run")
	set.StringVar(&issuerPull, "issuer-pull-policy", "", "image pull `policy` of the pods of TokenIssuers; empty: Kubernetes' default")
	set.StringVar(&s.Namespace, "namespace", "", "the controller's own `namespace` (required)")
	set.StringVar(&watch, "watch-namespaces", "", "comma-separated `namespaces` to look after; empty: all")
	set.StringVar(&pull, "sidecar-pull-policy", "", "image pull `policy` of the sidecar; empty: Kubernetes' default")
	set.IntVar(&adminPort, "admin-port", v1alpha1.AdminPort, "admin `port` of the sidecar")
	set.IntVar(&s.webhook.Port, "webhook-port", defaultWebhookPort, "`port` of the admission webhook")
	set.StringVar(&s.webhook.CertSource, "cert-source", webhook.CertSelf, "certificate of the webhook: self (made and rotated here) or files (from --cert-dir)")
	set.StringVar(&s.webhook.CertDir, "cert-dir", "", "`directory` of tls.crt and tls.key, with --cert-source=files")
	set.StringVar(&s.webhook.ServiceName, "service-name", "gatepost-webhook", "`name` of the webhook's Service")
	set.StringVar(&s.MetricsAddress, "metrics-address", ":8080", "`address` of /metrics; 0 turns it off")
	set.StringVar(&s.HealthAddress, "health-address", ":8081", "`address` of /healthz and /readyz; 0 turns it off")
	set.BoolVar(&s.LeaderElect, "leader-elect", false, "take turns with other replicas by a Lease")
	set.DurationVar(&s.MinPrePublish, "min-pre-publish", controller.DefaultMinPrePublish, "shortest time between publishing a key and signing with it")
	set.DurationVar(&s.RetireMargin, "retire-margin", controller.DefaultRetireMargin, "added to a token's lifetime and the clock skew before its key may go")
	set.IntVar(&s.NudgeRate, "nudge-rate", controller.DefaultNudgeRate, "how many pods per second are told that their bundle changed, at most")
	set.StringVar(&s.logLevel, "log-level", "info", "`level` of the log: debug, info, warn or error")
	if err := set.Parse(args); err != nil {
		return s, err
	}
	s.WatchNamespaces, s.IssuerPullPolicy = splitList(watch), corev1.PullPolicy(issuerPull)
	s.webhook.Namespace = s.Namespace
	s.webhook.Inject = inject.Config{
		Image: s.SidecarImage, PullPolicy: corev1.PullPolicy(pull), AdminPort: int32(max(0, min(adminPort, 1<<20))), LogLevel: s.logLevel,
	}
	return s, errors.Join(s.wrong(set.Args())...)
}

func (s *settings) wrong(rest []string) []error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: flags begin with --", rest[0]))
	}
	if s.SidecarImage == "" {
		errs = append(errs, errors.New("--sidecar-image: name the image of the sidecar"))
	}
	if s.Namespace == "" {
		errs = append(errs, errors.New("--namespace: name the controller's own namespace, in a pod $(POD_NAMESPACE)"))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.logLevel) {
		errs = append(errs, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", s.logLevel))
	}
	if s.NudgeRate <= 0 {
		errs = append(errs, fmt.Errorf("--nudge-rate: %d is not above zero", s.NudgeRate))
	}
	if s.MinPrePublish <= 0 || s.RetireMargin <= 0 {
		errs = append(errs, errors.New("--min-pre-publish and --retire-margin: use durations above zero, such as 2m"))
	}
	return append(errs, s.wrongWebhook()...)
}

func (s *settings) wrongWebhook() []error {
	var errs []error
	if !slices.Contains([]string{webhook.CertSelf, webhook.CertFiles}, s.webhook.CertSource) {
		errs = append(errs, fmt.Errorf("--cert-source: %q is neither self nor files", s.webhook.CertSource))
	}
	if s.webhook.CertSource == webhook.CertFiles && s.webhook.CertDir == "" {
		errs = append(errs, errors.New("--cert-dir: name the directory of tls.crt and tls.key"))
	}
	for name, pull := range map[string]corev1.PullPolicy{"sidecar": s.webhook.Inject.PullPolicy, "issuer": s.IssuerPullPolicy} {
		if !slices.Contains([]corev1.PullPolicy{"", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, pull) {
			errs = append(errs, fmt.Errorf("--%s-pull-policy: %q is none of Always, IfNotPresent, Never", name, pull))
		}
	}
	for _, port := range []struct {
		flag  string
		value int
	}{{"--admin-port", int(s.webhook.Inject.AdminPort)}, {"--webhook-port", s.webhook.Port}} {
		if port.value < 1 || port.value > 65535 {
			errs = append(errs, fmt.Errorf("%s: %d is not a port, use 1 to 65535", port.flag, port.value))
		}
	}
	return errs
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
