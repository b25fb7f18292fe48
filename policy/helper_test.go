package policy_test

import (
	"strings"
	"testing"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// jwt is a provider for policies whose subject is something else.
const jwt = `
jwt:
  providers:
  - {name: laravel, algorithms: [HS256], secretRef: {name: s, keys: [current]}}
  - {name: auth, algorithms: [ES256], signingKeyRef: {name: k}}
`

// compile reads a spec in YAML, as people write it, and compiles it.
func compile(t testing.TB, spec string, probes ...policy.Probe) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(parse(t, spec), probes...)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

// parse reads a spec in YAML.
func parse(t testing.TB, spec string) policy.Spec {
	t.Helper()
	indented := strings.ReplaceAll("\n"+strings.TrimSpace(spec), "\n", "\n  ")
	doc, err := manifest.Parse([]byte("apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: test}\nspec:" + indented + "\n"))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return doc.Spec
}
