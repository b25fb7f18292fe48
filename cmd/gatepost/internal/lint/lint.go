// Package lint says what is wrong with a policy or an issuer before anybody runs
// it, and what works and is probably not meant.
//
// Errors are what a sidecar, an issuer or the controller would refuse: the
// strict reader of internal/manifest, Compile, and fields that nothing stands
// behind yet. Warnings are Compile's own (rules that an earlier one leaves
// nothing for, issuers that end in a slash), and the pitfalls of this package,
// each of which is right for somebody.
package lint

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// Severity says how bad a Finding is.
type Severity string

// The severities.
const (
	// Error is what would be refused.
	Error Severity = "error"
	// Warning works and is probably not meant.
	Warning Severity = "warning"
)

// Finding is one thing to look at.
type Finding struct {
	File     string   `json:"file"`
	Severity Severity `json:"severity"`
	// Line is where it is, counted from 1; 0 where only the field is known.
	Line int `json:"line,omitempty"`
	// Field is the path of the field; empty when it is about the whole file.
	Field string `json:"field,omitempty"`
	// Says is what is wrong and what to do.
	Says string `json:"says"`
}

// issuerKind finds a TokenIssuer, whatever else is wrong with the file.
var issuerKind = regexp.MustCompile(`(?m)^\s*"?kind"?\s*:\s*"?TokenIssuer\b`)

// Check reads a file with an AgentAuthPolicy or a TokenIssuer, and says what
// there is to say about it at a time.
func Check(file string, content []byte, now time.Time) []Finding {
	f := findings{file: file}
	if issuerKind.Match(content) {
		f.issuer(content, now)
	} else {
		f.policy(content, now)
	}
	slices.SortStableFunc(f.list, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return f.list
}

// findings are gathered about one file.
type findings struct {
	file string
	list []Finding
}

func (f *findings) add(severity Severity, field, says string) {
	f.list = append(f.list, Finding{File: f.file, Severity: severity, Field: field, Says: policy.HideKeys(says)})
}

func (f *findings) warn(field, says string) { f.add(Warning, field, says) }

// texts adds what is said as "field: remark".
func (f *findings) texts(severity Severity, texts []string) {
	for _, text := range texts {
		field, says, ok := strings.Cut(text, ": ")
		if !ok || strings.Contains(field, " ") {
			field, says = "", text
		}
		f.add(severity, field, says)
	}
}

// unreadable adds why a file was refused.
func (f *findings) unreadable(err error) {
	each, ok := errors.AsType[manifest.Errors](err)
	if !ok {
		f.add(Error, "", err.Error())
		return
	}
	for _, one := range each {
		f.list = append(f.list, Finding{File: f.file, Severity: Error, Line: one.Line, Field: one.Field, Says: policy.HideKeys(one.Detail)})
	}
}

func (f *findings) policy(content []byte, now time.Time) {
	doc, err := manifest.Parse(content)
	if err != nil {
		f.unreadable(err)
		return
	}
	engine, err := policy.Compile(doc.Spec)
	if err != nil {
		f.add(Error, "", err.Error())
		return
	}
	f.texts(Error, policy.Unsupported(doc.Spec))
	f.texts(Warning, engine.Warnings())
	spec := engine.Spec()
	f.pitfalls(&spec)
	f.keys(doc.APIKeys, now)
}

func (f *findings) issuer(content []byte, now time.Time) {
	doc, err := manifest.ParseIssuer(content)
	if err != nil {
		f.unreadable(err)
		return
	}
	plan, err := grant.Compile(doc.Spec)
	if err != nil {
		f.add(Error, "", err.Error())
		return
	}
	f.texts(Warning, plan.Warnings())
	spec := plan.Spec()
	f.cors(spec.CORS)
	if spec.TokenLifetime != nil && spec.TokenLifetime.Duration > longLife {
		f.warn("spec.tokenLifetime", "is more than an hour: a token that was stolen works as long; browsers refresh by themselves, so 2m is enough")
	}
	f.keys(doc.APIKeys, now)
}

// keys are the APIKeys beside either.
func (f *findings) keys(keys []manifest.APIKey, now time.Time) {
	for i := range keys {
		if err := apikey.CheckLive(keys[i].Spec, now); err != nil {
			f.add(Error, "APIKey "+keys[i].Name, err.Error())
		}
		if live, _ := apikey.Live(keys[i].Spec, now); live == 0 && !keys[i].Spec.Suspend {
			f.warn("APIKey "+keys[i].Name, "every value has expired: the client cannot call any more; add a value with gatepost apikey create")
		}
	}
}
