package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/controller/webhook"
)

func TestFlagsBecomeSettings(t *testing.T) {
	t.Parallel()
	got, err := parse([]string{
		"--sidecar-image=example.com/sidecar:1", "--namespace=gatepost-system", "--watch-namespaces=a, b,",
		"--min-pre-publish=10s", "--retire-margin=2s", "--leader-elect", "--log-level=debug", "--nudge-rate=200",
		"--issuer-image=example.com/issuer:1", "--issuer-pull-policy=Always",
	}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got.WatchNamespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if got.IssuerImage != "example.com/issuer:1" || got.IssuerPullPolicy != "Always" {
		t.Errorf("issuers run %q, pulled %q", got.IssuerImage, got.IssuerPullPolicy)
	}
	if got.NudgeRate != 200 {
		t.Errorf("nudge rate %d", got.NudgeRate)
	}
	if got.MinPrePublish != 10*time.Second || got.RetireMargin != 2*time.Second || !got.LeaderElect {
		t.Errorf("got %v, %v, %v", got.MinPrePublish, got.RetireMargin, got.LeaderElect)
	}
	if got.webhook.Port != 9443 || got.webhook.Inject.AdminPort != 19901 || got.webhook.CertSource != webhook.CertSelf {
		t.Errorf("defaults: got %v, %v, %v", got.webhook.Port, got.webhook.Inject.AdminPort, got.webhook.CertSource)
	}
}

func TestWrongFlagsAreNamedAndExitWithTwo(t *testing.T) {
	t.Parallel()
	fine := []string{"--sidecar-image=i", "--namespace=n"}
	for sentence, test := range map[string]struct {
		args []string
		want string
	}{
		"the sidecar's image is required":       {[]string{"--namespace=n"}, "--sidecar-image"},
		"the namespace is required":             {[]string{"--sidecar-image=i"}, "--namespace"},
		"an unknown flag is named":              {append(fine, "--sidecar=i"), "-sidecar"},
		"a word that is no flag is named":       {append(fine, "please"), `"please"`},
		"a source of certificates that is none": {append(fine, "--cert-source=magic"), `"magic" is neither self nor files`},
		"files need a directory":                {append(fine, "--cert-source=files"), "--cert-dir"},
		"a pull policy that is none":            {append(fine, "--sidecar-pull-policy=Sometimes"), "Sometimes"},
		"one for issuers that is none":          {append(fine, "--issuer-pull-policy=Maybe"), "--issuer-pull-policy: \"Maybe\""},
		"a port that is none":                   {append(fine, "--admin-port=70000"), "--admin-port: 70000"},
		"a duration without a unit":             {append(fine, "--retire-margin=2"), "-retire-margin"},
		"a margin of nothing":                   {append(fine, "--retire-margin=0s"), "--retire-margin"},
		"nobody told":                           {append(fine, "--nudge-rate=0"), "--nudge-rate: 0"},
		"a log level that is none":              {append(fine, "--log-level=loud"), "--log-level"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := command(t.Context(), test.args, &stderr); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), test.want) {
				t.Errorf("stderr %q does not contain %q", &stderr, test.want)
			}
		})
	}
}
