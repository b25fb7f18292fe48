package token_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// FuzzExtract: whatever is accepted is one word of token68 behind the prefix.
func FuzzExtract(f *testing.F) {
	for _, value := range []string{
		"Bearer a.b.c", "bearer a", "Bearer", "Bearer ", "Bearer  a", "Bearer a,b", "Basic a, Bearer b", "", ",", "Bearer \x00",
	} {
		f.Add(value, "Bearer ", false)
		f.Add(value, "", true)
	}
	word := regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{1,512}$`)
	f.Fuzz(func(t *testing.T, value, prefix string, twice bool) {
		values := []string{value}
		if twice {
			values = append(values, value)
		}
		_, reason := token.Extract(values, prefix, 512)
		switch reason {
		case "":
			if twice || len(value) < len(prefix) || !word.MatchString(value[len(prefix):]) {
				t.Errorf("accepted %q behind %q", values, prefix)
			}
		case policy.MissingCredential, policy.AmbiguousCredentials, policy.TokenTooLarge, policy.MalformedToken:
		default:
			t.Errorf("reason %q", reason)
		}
	})
}

// FuzzJSON compares the reader with encoding/json: what it accepts, both read
// alike; what it refuses, encoding/json refuses too or it is one of the ways in
// which two readers could differ.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":[1,-0.5e+10,true,false,null,{"b":"c"}]} `, `{"a":"\ud83d\ude00\u0000\/\b"}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":-}`, `{"a":+1}`, `{"a":"` + "\x1f" + `"}`, `{"a":"` + "\xff" + `"}`, `[]`, `""`, `{"a"}`,
		`{,}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":tru}`, "\ufeff{}", `{}{}`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		`{"a":` + strings.Repeat("1", 70) + `}`, `{"\u0061":1,"a":1}`,
	} {
		f.Add(seed)
	}
	surrogate := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := token.DecodeObject(text)
		if err == nil {
			decoder := json.NewDecoder(strings.NewReader(text))
			decoder.UseNumber()
			var want any
			if !json.Valid([]byte(text)) || decoder.Decode(&want) != nil || !reflect.DeepEqual(any(got), want) {
				t.Fatalf("%q was read as %v, encoding/json has %v", text, got, want)
			}
			return
		}
		for _, stricter := range []error{token.ErrJSONDepth, token.ErrJSONDuplicate, token.ErrJSONNumber, token.ErrJSONUTF8, token.ErrJSONObject, token.ErrJSONValues} {
			if errors.Is(err, stricter) {
				return
			}
		}
		if json.Valid([]byte(text)) && !surrogate.MatchString(text) {
			t.Fatalf("%q was refused: %v", text, err)
		}
	})
}
