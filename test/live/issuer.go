package live

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// IssuerSetup is how an issuer is started.
type IssuerSetup struct {
	// Document is the TokenIssuer and the APIKeys, in YAML; {issuer} stands for the URL
	// by which it is reached.
	Document string
	Keys     map[string][]byte // NAME/KEY -> content of the keys directory
	Users    string            // lines of htpasswd; empty: no --users
	Flags    []string          // more flags
	Env      []string          // more environment, NAME=value
}

// Issuer is the built issuer as a process of its own.
type Issuer struct {
	*Program

	URL   string // http://host:port, the iss of its tokens
	Admin string // host:port of metrics and health
	Dir   string // holds issuer.yaml, users and keys/

	t testing.TB
}

// StartIssuer builds the issuer of this checkout once per test process and runs it.
func StartIssuer(t testing.TB, s IssuerSetup) *Issuer {
	t.Helper()
	binary := Build(t, "issuer")
	address := FreeAddress(t)
	i := &Issuer{Dir: t.TempDir(), URL: "http://" + address, t: t}
	i.Write("issuer.yaml", []byte(strings.ReplaceAll(s.Document, "{issuer}", i.URL)))
	if err := os.MkdirAll(filepath.Join(i.Dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range s.Keys {
		i.Write(filepath.Join("keys", name), content)
	}
	args := []string{
		"--issuer", filepath.Join(i.Dir, "issuer.yaml"), "--keys", filepath.Join(i.Dir, "keys"),
		"--listen", address, "--admin", "127.0.0.1:0",
	}
	if s.Users != "" {
		i.Write("users", []byte(s.Users))
		args = append(args, "--users", filepath.Join(i.Dir, "users"))
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append(args, s.Flags...)...)
	command.Env = append(os.Environ(), s.Env...)
	i.Program = Run(t, command)
	i.Await(t, "its record of where it listens", func(context.Context) bool { return i.listening() })
	return i
}

// listening reads the address of the admin port from the first records.
func (i *Issuer) listening() bool {
	for line := range strings.Lines(i.Logs.String()) {
		var record struct {
			Admin string `json:"admin"`
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Admin != "" {
			i.Admin = record.Admin
			return true
		}
	}
	return false
}

// Write replaces a file of Dir in one step: issuer.yaml, users, or keys/NAME/KEY.
func (i *Issuer) Write(name string, content []byte) {
	i.t.Helper()
	replace(i.t, filepath.Join(i.Dir, name), content)
}

// Private answers a GET on the admin port with status and body.
func (i *Issuer) Private(path string) (int, string) {
	i.t.Helper()
	return get(i.t, "http://"+i.Admin+path)
}

// Metric returns the value of one series, written as the exposition writes it,
// or "" without it.
func (i *Issuer) Metric(series string) string {
	i.t.Helper()
	_, text := i.Private("/metrics")
	return valueOf(series, text)
}
