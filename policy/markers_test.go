package policy_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// The markers in the comments become the resource's schema. A file never meets
// a schema, so Compile must keep the same bounds and fill in the same defaults.
// These tests read the markers, break each bound in a full spec, and see that
// Compile names the field; they fail when somebody adds a marker and forgets
// Compile.

// full has every field of a Spec at least once.
const full = `
mode: Audit
jwt:
  providers:
  - {name: a, issuers: [i], audiences: [au], algorithms: [HS256], secretRef: {name: s, keys: [k]}, clockSkew: 1s, maxTokenLifetime: 1h, requiredClaims: [sub], types: [JWT], revokedBefore: "2026-01-01T00:00:00Z"}
  - {name: b, algorithms: [ES256], signingKeyRef: {name: k}}
  - {name: c, algorithms: [ES256], localJWKS: {inline: '{"keys":[{}]}'}}
  - {name: d, algorithms: [ES256], localJWKS: {configMapRef: {name: c, key: k}}}
  - {name: e, algorithms: [ES256], remoteJWKS: {uri: "https://a.example", cacheDuration: 1m, failedRefetchDuration: 1m, unknownKeyRefetchInterval: 1m, maxStale: 1m, caBundleRef: {kind: Secret, name: c, key: k}, allowInsecureHTTP: true}}
  extractFrom: {headers: [{name: X-Token, valuePrefix: "T "}]}
  forward: Strip
  claimToHeaders: [{claim: sub, header: X-Auth-Sub}]
apiKeyAuth: {credentialSelector: {matchLabels: {a: b}}, extractFrom: [{header: X-Key}], forwardClientIDHeader: X-Client, sanitize: false}
authorization:
  defaultAction: Allow
  rules:
  - name: r
    action: Deny
    operation: {methods: [GET], paths: [{type: Template, value: /v, ignoreCase: true}]}
    principal:
      providers: [a]
      scopes: {claim: s, anyOf: [x], allOf: [y]}
      claims: [{name: c, valueType: StringArray, values: [v]}]
      tenant: {claim: t, match: {header: X-Tenant-ID}, onNull: Allow}
    mcp: {methods: [{name: tools/call, params: [p]}]}
  - {name: preset, preset: agno-v2}
  - {name: pathvariable, operation: {paths: [{type: Template, value: "/{v}"}]}, principal: {tenant: {match: {pathVariable: v}}}}
  - {name: keys, principal: {apiKeys: [crm]}}
  - {name: value, principal: {tenant: {match: {value: v}}}}
  - {name: anonymous, principal: {anonymous: true}}
exemptions: [{methods: [GET], path: /health}]
protectedResource: {resource: "https://a.example", authorizationServers: ["https://b.example"], scopesSupported: [s]}
cors: {mode: Passthrough, allowOrigins: ["https://a.example"], allowMethods: [GET], allowHeaders: [A], allowCredentials: true, exposeHeaders: [B], maxAge: 1m}
streaming: {onTokenExpiry: CloseAfterGrace, grace: 1m}
upstream: {host: Localhost}
webSocket: {tokenSources: [Subprotocol], deferToApp: [/ws]}
responses: {apiKeyFailureStatus: 403}
limits: {maxTokenBytes: 1024, maxHeaderBytes: 32768, maxConcurrentRequests: 1, maxConnections: 1, maxMCPBodyBytes: 1024, rejections: {rate: 1/s, burst: 1}}
trustedProxies: [10.0.0.0/8]
allowOptOut: true
`

func TestCompileKeepsEveryBoundOfTheMarkers(t *testing.T) {
	spec := parse(t, full)
	broken := 0
	for _, p := range placesOf(t, spec) {
		for _, marker := range p.markers {
			for _, edit := range breaking(marker) {
				s := *spec.DeepCopy()
				field := p.path + edit.below
				if !edit.apply(p.reach(reflect.ValueOf(&s).Elem())) {
					continue
				}
				broken++
				t.Run(field+" "+marker, func(t *testing.T) {
					_, err := policy.Compile(s)
					var errs policy.Errors
					errors.As(err, &errs)
					if !slices.ContainsFunc(errs, func(e policy.FieldError) bool { return strings.HasPrefix(e.Field, field) }) {
						t.Errorf("Compile = %v, want an error of %s", err, field)
					}
				})
			}
		}
	}
	if broken < 250 {
		t.Errorf("only %d bounds were broken: the markers are not read", broken)
	}
}

func TestCompileFillsInEveryDefaultOfTheMarkers(t *testing.T) {
	spec := parse(t, full)
	tested := map[string]bool{}
	for _, p := range placesOf(t, spec) {
		for _, marker := range p.markers {
			want, ok := strings.CutPrefix(marker, "default=")
			if !ok {
				continue
			}
			s := *spec.DeepCopy()
			p.reach(reflect.ValueOf(&s).Elem()).SetZero()
			compiled, err := policy.Compile(s)
			if err != nil {
				continue // A default that makes another field wrong; the field is there elsewhere.
			}
			tested[p.name] = true
			out := compiled.Spec()
			if got := show(p.reach(reflect.ValueOf(&out).Elem())); got != strings.Trim(want, `"`) {
				t.Errorf("%s = %s by default, the schema says %s", p.path, got, want)
			}
		}
	}
	for name, own := range markers(t) {
		if slices.ContainsFunc(own, func(m string) bool { return strings.HasPrefix(m, "default=") }) && !tested[name] {
			t.Errorf("the default of %s was not tried: put the field into the full spec", name)
		}
	}
	if len(tested) < 20 {
		t.Errorf("only %d defaults were tried: the markers are not read", len(tested))
	}
}

// show writes a value as a marker does.
func show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if d, ok := reflect.TypeAssert[policy.Duration](v); ok {
		text, _ := d.MarshalJSON()
		return strings.Trim(string(text), `"`)
	}
	return fmt.Sprint(v.Interface())
}

// edit breaks a bound of the value it is applied to, or of a part below it;
// apply is false where it does not apply.
type edit struct {
	below string
	apply func(reflect.Value) bool
}

func set(text string) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf(&text))
			return true
		}
		if v.Kind() != reflect.String || v.String() == "" {
			return false
		}
		v.SetString(text)
		return true
	}
}

func setNumber(n int64) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.CanInt() {
			return false
		}
		v.SetInt(n)
		return true
	}
}

func setDuration(text string, by time.Duration) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		d, err := time.ParseDuration(text)
		if err != nil || v.IsNil() {
			return false
		}
		v.Set(reflect.ValueOf(&policy.Duration{Duration: d + by}))
		return true
	}
}

// repeat makes a list of n times its first element.
func repeat(n int) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		if v.Kind() == reflect.Map {
			for i := range n {
				v.SetMapIndex(reflect.ValueOf(strconv.Itoa(i)), reflect.ValueOf(""))
			}
			return true
		}
		if v.Len() == 0 {
			return false
		}
		list := reflect.MakeSlice(v.Type(), 0, n)
		for range n {
			list = reflect.Append(list, v.Index(0))
		}
		v.Set(list)
		return true
	}
}

func first(apply func(reflect.Value) bool) func(reflect.Value) bool {
	return func(v reflect.Value) bool { return v.Len() > 0 && apply(v.Index(0)) }
}

// clear takes a required value away; an absent struct cannot be told from an
// empty one.
func clearValue(v reflect.Value) bool {
	if v.Kind() == reflect.Struct || v.IsZero() {
		return false
	}
	v.SetZero()
	return true
}

var durationBound = regexp.MustCompile(`duration\(self\) (<=|>=) duration\('([^']*)'\)`)

// breaking are the ways to break what a marker asks for.
func breaking(marker string) []edit {
	name, value, _ := strings.Cut(strings.TrimPrefix(marker, "validation:"), "=")
	n, _ := strconv.Atoi(value)
	if item, ok := strings.CutPrefix(name, "items:"); ok {
		var out []edit
		for _, e := range breaking("validation:" + item + "=" + value) {
			out = append(out, edit{"[0]", first(e.apply)})
		}
		return out
	}
	switch name {
	case "MaxLength":
		return []edit{{"", set(strings.Repeat("a", n+1))}}
	case "MinLength":
		return []edit{{"", set(strings.Repeat("a", n-1))}}
	case "Pattern", "Enum", "Format":
		return []edit{{"", set("\x01")}, {"", setNumber(999)}}
	case "Minimum":
		return []edit{{"", setNumber(int64(n - 1))}}
	case "Maximum":
		return []edit{{"", setNumber(int64(n + 1))}}
	case "MaxItems", "MaxProperties":
		return []edit{{"", repeat(n + 1)}}
	case "listType":
		if value == "atomic" {
			return nil
		}
		return []edit{{"[1]", repeat(2)}}
	case "required":
		return []edit{{"", clearValue}}
	case "MinItems":
		return []edit{{"", clearValue}}
	case "XValidation:rule":
		return breakingDuration(value)
	}
	return nil
}

func breakingDuration(rule string) []edit {
	var out []edit
	for _, bound := range durationBound.FindAllStringSubmatch(rule, -1) {
		by := time.Millisecond
		if bound[1] == ">=" {
			by = -by
		}
		out = append(out, edit{"", setDuration(bound[2], by)})
	}
	return out
}

// place is one field of a spec: its path, its markers, and how to reach it in
// any copy of the spec.
type place struct {
	path, name string
	markers    []string
	reach      func(reflect.Value) reflect.Value
}

// placesOf walks the whole of a spec.
func placesOf(t testing.TB, spec policy.Spec) []place {
	t.Helper()
	w := walker{markers: markers(t)}
	w.walk(reflect.ValueOf(spec), "spec", func(v reflect.Value) reflect.Value { return v })
	return w.found
}

type walker struct {
	markers map[string][]string
	found   []place
}

func (w *walker) walk(v reflect.Value, path string, reach func(reflect.Value) reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.walk(v.Elem(), path, func(s reflect.Value) reflect.Value { return reach(s).Elem() })
		}
	case reflect.Slice:
		for i := range v.Len() {
			element := func(s reflect.Value) reflect.Value { return reach(s).Index(i) }
			path := fmt.Sprintf("%s[%d]", path, i)
			typ := v.Type().Elem()
			w.found = append(w.found, place{path, typ.Name(), w.markers[typ.Name()], element})
			w.walk(v.Index(i), path, element)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[policy.Duration]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			json, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name := v.Type().Name() + "." + f.Name
			member := func(s reflect.Value) reflect.Value { return reach(s).Field(i) }
			own := slices.Concat(w.markers[name], w.markers[f.Type.Name()])
			w.found = append(w.found, place{path + "." + json, name, own, member})
			w.walk(v.Field(i), path+"."+json, member)
		}
	default: // A text, a number or a boolean has nothing below it.
	}
}

// markers maps "Type.Field", or "Type" for a named type, to its markers.
func markers(t testing.TB) map[string][]string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if general, ok := decl.(*ast.GenDecl); ok && general.Tok == token.TYPE {
				collectMarkers(found, general)
			}
		}
	}
	return found
}

func collectMarkers(found map[string][]string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		found[typ.Name.Name] = markersIn(decl.Doc)
		fields, ok := typ.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				found[typ.Name.Name+"."+name.Name] = markersIn(f.Doc)
			}
		}
	}
}

func markersIn(doc *ast.CommentGroup) []string {
	var out []string
	if doc == nil {
		return nil
	}
	for _, line := range doc.List {
		if text, ok := strings.CutPrefix(line.Text, "// +"); ok {
			out = append(out, strings.TrimPrefix(text, "kubebuilder:"))
		}
	}
	return out
}
