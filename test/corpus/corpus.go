// Package corpus holds policies with requests and what must become of them, so
// that everything that judges requests can be asked the same questions: the
// engine, the controller, the command line and a running sidecar.
//
// An archive is policy/NAME.txtar. It begins with a sentence that says what it
// is about, and holds
//
//	spec.yaml    what stands below spec of an AgentAuthPolicy
//	apikeys.yaml APIKey documents beside it; absent in most
//	NAME.key     the text of an API key of the client NAME, made for this test
//	cases.yaml   a list of cases as `gatepost policy test` reads them
//	errors       of a policy that is not valid: each error, in order
//	schema       of such a policy: why an API server accepts it all the same
//	dropped      of such a file: why an API server stores another policy
//
// Every case that is refused has an honest twin in its archive: one that passes
// and differs in the method, the path, the headers or the principal alone. Where
// nothing can pass, the file "no twin" says why.
//
// Below issuer are TokenIssuers that everything which judges them must accept, or
// refuse with the same words.
package corpus

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

//go:embed policy/*.txtar
var files embed.FS

// Archive is one policy and its cases.
type Archive struct {
	// Name is the file's, without ending; also the policy's.
	Name string
	// Sentence says what the archive is about.
	Sentence string
	// Manifest is the AgentAuthPolicy alone, APIKeys the documents beside it.
	Manifest, APIKeys []byte
	// Keys are the texts of API keys by client id.
	Keys map[string]string
	// CaseList is the list of cases as it is written, Cases what it says.
	CaseList []byte
	Cases    []Case
	// Errors are those of a policy that is not valid.
	Errors []string
	// SchemaAccepts says that an API server takes the policy though it is not valid.
	SchemaAccepts bool
	// Dropped says why an API server stores another policy than the file has.
	Dropped string
	// NoTwin says why nothing can pass.
	NoTwin string
}

// Case is one request and what must become of it.
type Case struct {
	Name      string     `yaml:"name"`
	Request   Request    `yaml:"request"`
	Principal *Principal `yaml:"principal"`
	Expect    Expect     `yaml:"expect"`
}

// Request is what a client sends; the path is the raw request target.
type Request struct {
	Method  string            `yaml:"method"`
	Path    string            `yaml:"path"`
	Headers map[string]Values `yaml:"headers"`
}

// Principal is who asks: by a token of the provider, or by an API key.
type Principal struct {
	Provider string         `yaml:"provider"`
	APIKey   string         `yaml:"apiKey"`
	Claims   map[string]any `yaml:"claims"`
}

// Expect is the decision.
type Expect struct {
	Reason policy.Reason `yaml:"reason"`
	Rule   string        `yaml:"rule"`
	Scopes []string      `yaml:"scopes"`
}

// Values are those of one header: a text, or a list of them.
type Values []string

// UnmarshalYAML reads one value or a list.
func (v *Values) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*v = Values{n.Value}
		return nil
	}
	return n.Decode((*[]string)(v))
}

// Policy is the whole policy file.
func (a *Archive) Policy() []byte { return slices.Concat(a.Manifest, a.APIKeys) }

// Valid reports whether the policy must compile.
func (a *Archive) Valid() bool { return len(a.Errors) == 0 }

// Clients are those of the archive's APIKeys, which must be valid.
func (a *Archive) Clients(t testing.TB) []manifest.APIKey {
	t.Helper()
	doc, err := manifest.Parse(a.Policy())
	if err != nil {
		t.Fatal(err)
	}
	return doc.APIKeys
}

// Figure prints one figure for docs/figures.md.
func Figure(name string, value int, unit string) {
	fmt.Printf("figure: %s %d %s\n", name, value, unit)
}

// Load reads the whole corpus.
func Load(t testing.TB) []*Archive {
	t.Helper()
	entries, err := files.ReadDir("policy")
	if err != nil {
		t.Fatal(err)
	}
	var all []*Archive
	for _, entry := range entries {
		data, err := files.ReadFile(path.Join("policy", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		archive, err := read(strings.TrimSuffix(entry.Name(), ".txtar"), data)
		if err != nil {
			t.Fatalf("policy/%s: %v", entry.Name(), err)
		}
		all = append(all, archive)
	}
	return all
}

func read(name string, data []byte) (*Archive, error) {
	parsed := txtar.Parse(data)
	a := &Archive{Name: name, Sentence: strings.TrimSpace(string(parsed.Comment)), Keys: map[string]string{}}
	for _, f := range parsed.Files {
		if !a.take(f.Name, f.Data) {
			return nil, fmt.Errorf("what is the file %q for?", f.Name)
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(a.CaseList))
	decoder.KnownFields(true)
	if err := decoder.Decode(&a.Cases); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cases.yaml: %w", err)
	}
	if a.Sentence == "" || a.Manifest == nil || a.Valid() == (len(a.Cases) == 0) {
		return nil, errors.New("an archive has a sentence, spec.yaml, and either cases.yaml or errors")
	}
	return a, nil
}

// take takes in one file; false when it has no meaning.
func (a *Archive) take(name string, data []byte) bool {
	text := strings.TrimSpace(string(data))
	switch name {
	case "spec.yaml":
		a.Manifest = manifestOf("AgentAuthPolicy", a.Name, text)
	case "apikeys.yaml":
		a.APIKeys = []byte("---\n" + text + "\n")
	case "cases.yaml":
		a.CaseList = data
	case "errors":
		a.Errors = strings.Split(text, "\n")
	case "schema":
		a.SchemaAccepts = text != ""
	case "dropped":
		a.Dropped = text
	case "no twin":
		a.NoTwin = text
	default:
		client, isKey := strings.CutSuffix(name, ".key")
		a.Keys[client] = text
		return isKey
	}
	return true
}

func manifestOf(kind, name, spec string) []byte {
	indented := "  " + strings.ReplaceAll(spec, "\n", "\n  ")
	return fmt.Appendf(nil, "apiVersion: gatepost.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec:\n%s\n", kind, name, indented)
}

// Line is the case's request line.
func (c *Case) Line() policy.RequestLine {
	return policy.RequestLine{Method: c.Request.Method, Target: c.Request.Path}
}

// Values are a request header's, by any spelling of its name that differs in
// case alone.
func (r *Request) Values(name string) []string {
	for own, values := range r.Headers {
		if strings.EqualFold(own, name) {
			return values
		}
	}
	return nil
}

// Who is who asks in the case; clients are those of the archive's APIKeys.
func (c *Case) Who(clients []manifest.APIKey) (policy.Who, error) {
	switch p := c.Principal; {
	case p == nil:
		return policy.Who{Anonymous: true}, nil
	case p.APIKey == "":
		claims, err := asClaims(p.Claims)
		return policy.Who{Provider: p.Provider, Claims: claims}, err
	}
	for i := range clients {
		if spec := &clients[i].Spec; spec.ClientID == c.Principal.APIKey {
			values := map[string]any{}
			for name, text := range spec.Claims {
				values[name] = string(text)
			}
			if len(spec.Scopes) > 0 {
				values["scopes"] = spec.Scopes
			}
			claims, err := asClaims(values)
			return policy.Who{Client: spec.ClientID, Claims: claims}, err
		}
	}
	return policy.Who{}, fmt.Errorf("no APIKey of client %q", c.Principal.APIKey)
}

// asClaims gives values the types that a token's payload decodes to.
func asClaims(values map[string]any) (map[string]any, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var claims map[string]any
	return claims, decoder.Decode(&claims)
}

// Decide asks a compiled policy, which is how the engine answers.
func (c *Case) Decide(p *policy.Policy, clients []manifest.APIKey) (policy.Decision, error) {
	who, err := c.Who(clients)
	if err != nil {
		return policy.Decision{}, err
	}
	return p.Decide(p.Route(c.Line()), &c.Request, who), nil
}

// Disagrees says how a decision differs from the expected one; empty when it
// does not.
func (c *Case) Disagrees(got policy.Decision) string {
	if got.Reason == c.Expect.Reason && got.Rule == c.Expect.Rule && slices.Equal(got.Scopes, c.Expect.Scopes) {
		return ""
	}
	return fmt.Sprintf("%s: got %s by %q for %q, want %s by %q for %q", c.Name,
		got.Reason, got.Rule, got.Scopes, c.Expect.Reason, c.Expect.Rule, c.Expect.Scopes)
}

// Twin is a case that passes and differs from the i-th in its method, path,
// headers or principal alone; false without one.
func (a *Archive) Twin(i int) (*Case, bool) {
	for j := range a.Cases {
		if a.Cases[j].Expect.Reason.Allows() && differences(&a.Cases[i], &a.Cases[j]) == 1 {
			return &a.Cases[j], true
		}
	}
	return nil, false
}

func differences(a, b *Case) int {
	n := 0
	for _, differs := range []bool{
		a.Request.Method != b.Request.Method,
		a.Request.Path != b.Request.Path,
		fmt.Sprint(a.Request.Headers) != fmt.Sprint(b.Request.Headers),
		fmt.Sprintf("%#v", a.who()) != fmt.Sprintf("%#v", b.who()),
	} {
		if differs {
			n++
		}
	}
	return n
}

func (c *Case) who() Principal {
	if c.Principal == nil {
		return Principal{}
	}
	return *c.Principal
}
