// Package archtest holds the house to its plan: who may import whom, how long
// functions are, and that names in code and documents agree. Tests only.
package archtest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "gatepost.dev/gatepost"

// directions says what each package must never reach, directly or through
// others. An entry ending in / forbids everything below it.
var directions = []struct {
	pkg       string
	forbidden []string
}{
	{"policy", []string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "net/http", "math/rand", "crypto/rand"}},
	{"grant", []string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "net/http", "math/rand", "crypto/rand"}},
	{"policy/bounds", []string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "net/http", "math/rand", "crypto/rand"}},
	{"apikey", []string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "net/http", "math/rand", "crypto/rand"}},
	{"internal/keyring", []string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "net/http", "crypto/rand"}},
	{"internal/manifest", []string{"k8s.io/", "sigs.k8s.io/", "net/http", "github.com/lestrrat-go/"}},
	{"internal/filewatch", []string{"k8s.io/", "sigs.k8s.io/", "net/http"}},
	{"token", []string{"k8s.io/", "sigs.k8s.io/", "github.com/prometheus/", module + "/sidecar", module + "/api/", module + "/internal/"}},
	{"internal/bundle", []string{"k8s.io/", "sigs.k8s.io/", "github.com/prometheus/", module + "/sidecar", module + "/api/"}},
	{"internal/issuing", []string{"k8s.io/", "sigs.k8s.io/", "github.com/prometheus/", module + "/sidecar", module + "/api/", module + "/controller"}},
	{"sidecar", []string{"k8s.io/", "sigs.k8s.io/", module + "/api/", module + "/controller"}},
	{"issuer", []string{"k8s.io/", "sigs.k8s.io/", module + "/api/", module + "/controller", module + "/sidecar"}},
	{"issuer/refresh", []string{"k8s.io/", "sigs.k8s.io/", "net/http", module + "/internal/"}},
	{"internal/password", []string{"k8s.io/", "sigs.k8s.io/", "net/http"}},
	{"internal/throttle", []string{"k8s.io/", "sigs.k8s.io/", "net/http"}},
	{"api/v1alpha1", []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes", "github.com/lestrrat-go/"}},
	{"controller/inject", []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime", "github.com/lestrrat-go/"}},
	{"controller/rollcall", []string{"k8s.io/client-go/", "k8s.io/api/", "sigs.k8s.io/", "github.com/prometheus/", module + "/api/", module + "/sidecar"}},
	{"controller", []string{module + "/sidecar", module + "/issuer"}},
	{"cmd/sidecar", []string{"k8s.io/", "sigs.k8s.io/", module + "/issuer", module + "/internal/password", "golang.org/x/crypto/argon2", "golang.org/x/crypto/bcrypt"}},
	{"cmd/issuer", []string{"k8s.io/", "sigs.k8s.io/", module + "/api/", module + "/sidecar"}},
}

func TestImportDirectionsAreKept(t *testing.T) {
	t.Parallel()
	for _, direction := range directions {
		t.Run(direction.pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range dependencies(t, direction.pkg) {
				if slices.ContainsFunc(direction.forbidden, func(no string) bool { return reaches(dep, no) }) {
					t.Errorf("%s reaches %s; run: go list -deps ./%s", direction.pkg, dep, direction.pkg)
				}
			}
		})
	}
}

// jwx is for keys and signatures and lives in package token alone.
func TestOnlyTokenImportsJWX(t *testing.T) {
	t.Parallel()
	out := goList(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	for line := range strings.Lines(out) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Contains(imports, "lestrrat-go/jwx") && pkg != module+"/token" {
			t.Errorf("%s imports jwx; only token may", pkg)
		}
	}
}

// The modules linked into a sidecar are paid for once per pod, and every one of
// them is attack surface, in an issuer too: docs/design/dependencies.md has a
// sentence each.
func TestDependenciesAreClosed(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sidecar", "issuer"} {
		out := goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/"+program)
		got := slices.Compact(slices.Sorted(strings.FieldsSeq(out)))
		if diff := cmp.Diff(servingModules, got); diff != "" {
			t.Errorf("modules linked into the %s changed (-allowed +linked); a new one needs a sentence in docs/design/dependencies.md:\n%s", program, diff)
		}
	}
}

func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	return strings.Fields(goList(t, "-deps", "./"+pkg))
}

func reaches(dep, forbidden string) bool {
	if strings.HasSuffix(forbidden, "/") {
		return strings.HasPrefix(dep, forbidden)
	}
	return dep == forbidden || strings.HasPrefix(dep, forbidden+"/")
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return string(out)
}
