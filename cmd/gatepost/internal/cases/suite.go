// Package cases judges requests against a policy, case by case, without a
// cluster: what `gatepost policy test` does. A suite is read from a file that
// names a policy and lists requests with what is expected of them; its Report
// says what came of each, for people, machines, or a CI server (JUnit). The
// judgement is policy.Decide, the sidecar's own.
package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

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
		Headers map[string]values `yaml:"headers"`
	} `yaml:"request"`
	// Principal is absent when there was no credential.
	Principal *principal `yaml:"principal"`
	Expect    struct {
		Reason policy.Reason `yaml:"reason"`
		// Rule and Scopes are compared where they are given.
		Rule   string   `yaml:"rule"`
		Scopes []string `yaml:"scopes"`
	} `yaml:"expect"`
}

// principal is who a token was verified to be, or the client of an APIKey in the
// policy's file.
type principal struct {
	Provider string         `yaml:"provider"`
	Claims   map[string]any `yaml:"claims"`
	APIKey   string         `yaml:"apiKey"`
}

// values are those of one header: a text, or a list of texts.
type values []string

// UnmarshalYAML reads one value or a list of them.
func (v *values) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*v = values{n.Value}
		return nil
	}
	return n.Decode((*[]string)(v))
}

// isAsExpected compares a decision with what the case gives of one.
func (c *testCase) isAsExpected(got policy.Decision) bool {
	return got.Reason == c.Expect.Reason &&
		(c.Expect.Rule == "" || got.Rule == c.Expect.Rule) &&
		(c.Expect.Scopes == nil || slices.Equal(got.Scopes, c.Expect.Scopes))
}

// fits refuses cases that name what the policy does not have: they would test
// nothing.
func (s suite) fits(b *judge) error {
	for i := range s.Cases {
		test := &s.Cases[i]
		if !slices.Contains(policy.Reasons(), test.Expect.Reason) {
			return fmt.Errorf("cases[%d].expect.reason: %q is no reason; docs/troubleshooting.md lists them", i, test.Expect.Reason)
		}
		if rule := test.Expect.Rule; rule != "" && !b.hasRule(rule) {
			return fmt.Errorf("cases[%d].expect.rule: the policy has no rule %q", i, rule)
		}
		if test.Principal == nil {
			continue
		}
		if err := test.Principal.fits(b); err != nil {
			return fmt.Errorf("cases[%d].principal%w", i, err)
		}
	}
	return nil
}

// fits refuses a principal that the policy cannot have. The error begins with
// the field below principal, or with the colon behind it.
func (p *principal) fits(b *judge) error {
	switch {
	case p.APIKey != "" && (p.Provider != "" || p.Claims != nil):
		return errors.New(": an API key has the claims of its APIKey and no provider: remove provider and claims")
	case p.APIKey != "" && b.client(p.APIKey) == nil:
		return fmt.Errorf(".apiKey: no APIKey of client %q stands in the policy's file and is selected by its apiKeyAuth", p.APIKey)
	case p.APIKey == "" && !b.hasProvider(p.Provider):
		return fmt.Errorf(".provider: the policy has no provider %q: name the one whose token it is", p.Provider)
	}
	return nil
}

func describe(d policy.Decision) string {
	text := string(d.Reason)
	if d.Rule != "" {
		text += " by rule " + d.Rule
	}
	if len(d.Scopes) > 0 {
		text += " for " + strings.Join(d.Scopes, " ")
	}
	return text
}

// policyKind finds a policy that was given in the place of cases.
var policyKind = regexp.MustCompile(`(?m)^"?kind"?\s*:\s*"?AgentAuthPolicy\b`)

func read(file string) (suite, error) {
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
	case err != nil && policyKind.Match(content):
		return suite{}, fmt.Errorf("%s: this is a policy, not a file of cases: -f takes a file with policy: %s and cases, as gatepost policy test --help shows", file, file)
	case err != nil:
		return suite{}, fmt.Errorf("%s: %w", file, inCases(err, content))
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
		if err := test.sendable(); err != nil {
			return fmt.Errorf("%s: cases[%d] (%s): %w", file, i, test.Name, err)
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

// sendable refuses a request that is mistyped rather than meant: one that is
// meant expects to be refused for it.
func (c *testCase) sendable() error {
	method, path := c.Request.Method, c.Request.Path
	if c.Expect.Reason == policy.BadRequest {
		return nil
	}
	switch known := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}; {
	case !slices.Contains(known, method) && slices.Contains(known, strings.ToUpper(method)):
		return fmt.Errorf("request.method: %q: methods are written in capitals: write %s, or expect %s", method, strings.ToUpper(method), policy.BadRequest)
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("request.path: %q does not begin with a slash: write /%s, or expect %s", path, path, policy.BadRequest)
	}
	return nil
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
