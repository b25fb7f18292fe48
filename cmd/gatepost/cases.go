package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// suite is the file that `gatepost policy test` reads.
type suite struct {
	// Policy is the policy's file, relative to the suite.
	Policy string     `yaml:"policy"`
	Cases  []testCase `yaml:"cases"`
}

// testCase is one request and what is expected of the policy.
type testCase struct {
	Name    string `yaml:"name"`
	Request struct {
		Method  string            `yaml:"method"`
		Path    string            `yaml:"path"`
		Headers map[string]string `yaml:"headers"`
	} `yaml:"request"`
	// Principal is who the token was verified to be; absent, there was no token.
	Principal *struct {
		Provider string         `yaml:"provider"`
		Claims   map[string]any `yaml:"claims"`
	} `yaml:"principal"`
	Expect struct {
		Reason policy.Reason `yaml:"reason"`
		Rule   string        `yaml:"rule"`
	} `yaml:"expect"`
}

func testCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "test -f CASES",
		Short: "Judge requests against a policy, without a cluster",
		Long: `Judge the requests of a file against a policy and compare with what the file
expects. The judgement is the sidecar's own code. Exit code 1 says that a case
came out otherwise, 2 that a file could not be read or a policy is not valid.`,
		Example: "  gatepost policy test -f cases.yaml",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return judgeSuite(file, command.OutOrStdout())
		},
	}
	command.Flags().StringVarP(&file, "file", "f", "", "file with the policy's name and the cases")
	_ = command.MarkFlagRequired("file")
	return command
}

func judgeSuite(file string, out io.Writer) error {
	tests, err := readSuite(file)
	if err != nil {
		return err
	}
	engine, err := readPolicy(filepath.Join(filepath.Dir(file), tests.Policy))
	if err != nil {
		return err
	}
	if err := tests.fits(engine.Spec()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	failed := 0
	for _, test := range tests.Cases {
		got := test.judge(engine)
		if got.Reason == test.Expect.Reason && (test.Expect.Rule == "" || got.Rule == test.Expect.Rule) {
			fmt.Fprintf(out, "ok    %s\n", test.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s: got %s, want %s\n", test.Name,
			describe(got.Reason, got.Rule), describe(test.Expect.Reason, test.Expect.Rule))
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", len(tests.Cases)-failed, failed)
	if failed > 0 {
		return errUnexpected
	}
	return nil
}

// fits refuses cases that name what the policy does not have: they would test
// nothing.
func (s suite) fits(spec policy.Spec) error {
	for i, test := range s.Cases {
		if !slices.Contains(policy.Reasons(), test.Expect.Reason) {
			return fmt.Errorf("cases[%d].expect.reason: %q is no reason; docs/troubleshooting.md lists them", i, test.Expect.Reason)
		}
		if rule := test.Expect.Rule; rule != "" && !hasRule(spec, rule) {
			return fmt.Errorf("cases[%d].expect.rule: the policy has no rule %q", i, rule)
		}
		if test.Principal != nil && !hasProvider(spec, test.Principal.Provider) {
			return fmt.Errorf("cases[%d].principal.provider: the policy has no provider %q: name the one whose token it is", i, test.Principal.Provider)
		}
	}
	return nil
}

func hasRule(spec policy.Spec, name string) bool {
	return spec.Authorization != nil &&
		slices.ContainsFunc(spec.Authorization.Rules, func(r policy.Rule) bool { return r.Name == name })
}

func hasProvider(spec policy.Spec, name string) bool {
	return spec.JWT != nil &&
		slices.ContainsFunc(spec.JWT.Providers, func(p policy.Provider) bool { return p.Name == name })
}

func describe(reason policy.Reason, rule string) string {
	if rule == "" {
		return string(reason)
	}
	return fmt.Sprintf("%s by rule %s", reason, rule)
}

func readSuite(file string) (suite, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return suite{}, fmt.Errorf("reading the cases: %w", err)
	}
	var tests suite
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	switch err := decoder.Decode(&tests); {
	case errors.Is(err, io.EOF):
		return suite{}, fmt.Errorf("%s is empty", file)
	case err != nil:
		return suite{}, fmt.Errorf("%s: %w", file, err)
	}
	return tests, tests.complete(file)
}

// complete refuses a suite that lacks something, and gives claims the types that
// a token's payload has.
func (s suite) complete(file string) (err error) {
	if s.Policy == "" || len(s.Cases) == 0 {
		return fmt.Errorf("%s: it needs policy (a file) and at least one entry in cases", file)
	}
	for i, test := range s.Cases {
		if test.Name == "" || test.Request.Method == "" || test.Request.Path == "" || test.Expect.Reason == "" {
			return fmt.Errorf("%s: cases[%d] needs name, request.method, request.path and expect.reason", file, i)
		}
		if test.Principal == nil {
			continue
		}
		if test.Principal.Claims, err = asClaims(test.Principal.Claims); err != nil {
			return fmt.Errorf("%s: cases[%d].principal.claims: %w", file, i, err)
		}
	}
	return nil
}

func readPolicy(file string) (*policy.Policy, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	document, err := manifest.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	engine, err := policy.Compile(document.Spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if unsupported := policy.Unsupported(document.Spec); len(unsupported) > 0 {
		return nil, fmt.Errorf("%s: %w", file, errors.New("not supported yet: "+unsupported[0]))
	}
	return engine, nil
}

func (c testCase) judge(engine *policy.Policy) policy.Decision {
	route := engine.Route(policy.RequestLine{Method: c.Request.Method, Target: c.Request.Path})
	if reason := route.Reason(); reason != "" {
		return policy.Decision{Reason: reason}
	}
	header := http.Header{}
	for name, value := range c.Request.Headers {
		header.Set(name, value)
	}
	who := policy.Who{Anonymous: true}
	if c.Principal != nil {
		who = policy.Who{Provider: c.Principal.Provider, Claims: c.Principal.Claims}
	}
	return engine.Decide(route, header, who)
}

// asClaims turns what YAML read into what a token's payload decodes to: numbers
// are json.Number.
func asClaims(values map[string]any) (map[string]any, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var claims map[string]any
	return claims, decoder.Decode(&claims)
}
