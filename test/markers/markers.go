// Package markers reads the markers in the comments of the types that people
// write, and breaks the bounds they set. Markers become a resource's schema, and a
// file never meets a schema: whoever compiles a document must keep the same bounds
// and fill in the same defaults, and tests hold it to that.
package markers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Show writes a value as a marker does.
func Show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if d, ok := reflect.TypeAssert[policy.Duration](v); ok {
		text, _ := d.MarshalJSON()
		return strings.Trim(string(text), `"`)
	}
	return fmt.Sprint(v.Interface())
}

// Edit breaks a bound of a value.
type Edit struct {
	// Below is the path from the value to the part that is wrong then.
	Below string
	// Apply changes the value; false where it does not apply.
	Apply func(reflect.Value) bool
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

// Breaking are the ways to break what a marker asks for.
func Breaking(marker string) []Edit {
	name, value, _ := strings.Cut(strings.TrimPrefix(marker, "validation:"), "=")
	if item, ok := strings.CutPrefix(name, "items:"); ok {
		var out []Edit
		for _, e := range Breaking("validation:" + item + "=" + value) {
			out = append(out, Edit{"[0]", first(e.Apply)})
		}
		return out
	}
	switch name {
	case "listType":
		if value == "atomic" {
			return nil
		}
		return []Edit{{"[1]", repeat(2)}}
	case "required", "MinItems":
		return []Edit{{"", clearValue}}
	case "XValidation:rule":
		return breakingDuration(value)
	}
	return breakingBound(name, value)
}

// breakingBound are the ways to break a bound of a text, a number or a size.
func breakingBound(name, value string) []Edit {
	n, _ := strconv.Atoi(value)
	switch name {
	case "MaxLength":
		return []Edit{{"", set(strings.Repeat("a", n+1))}}
	case "MinLength":
		return []Edit{{"", set(strings.Repeat("a", n-1))}}
	case "Pattern", "Enum", "Format":
		return []Edit{{"", set("\x01")}, {"", setNumber(999)}}
	case "Minimum":
		return []Edit{{"", setNumber(int64(n - 1))}}
	case "Maximum":
		return []Edit{{"", setNumber(int64(n + 1))}}
	case "MaxItems", "MaxProperties":
		return []Edit{{"", repeat(n + 1)}}
	}
	return nil
}

func breakingDuration(rule string) []Edit {
	var out []Edit
	for _, bound := range durationBound.FindAllStringSubmatch(rule, -1) {
		by := time.Millisecond
		if bound[1] == ">=" {
			by = -by
		}
		out = append(out, Edit{"", setDuration(bound[2], by)})
	}
	return out
}

// Place is one field of a spec.
type Place struct {
	// Path is the field's, Name its type's and its own, or that of its type alone.
	Path, Name string
	// Markers are those of the field and of its type, without +kubebuilder.
	Markers []string
	// Reach finds the field in any copy of the spec.
	Reach func(reflect.Value) reflect.Value
}

// Places walks the whole of a spec whose types are in the folders.
func Places(t testing.TB, spec any, folders ...string) []Place {
	t.Helper()
	w := walker{markers: Of(t, folders...)}
	w.walk(reflect.ValueOf(spec), "spec", func(v reflect.Value) reflect.Value { return v })
	return w.found
}

type walker struct {
	markers map[string][]string
	found   []Place
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
			typ := v.Type().Elem().String()
			w.found = append(w.found, Place{path, typ, w.markers[typ], element})
			w.walk(v.Index(i), path, element)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[policy.Duration]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			json, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name := v.Type().String() + "." + f.Name
			member := func(s reflect.Value) reflect.Value { return reach(s).Field(i) }
			if f.Anonymous { // its fields stand beside the others
				w.walk(v.Field(i), path, member)
				continue
			}
			own := slices.Concat(w.markers[name], w.markers[f.Type.String()])
			w.found = append(w.found, Place{path + "." + json, name, own, member})
			w.walk(v.Field(i), path+"."+json, member)
		}
	default: // A text, a number or a boolean has nothing below it.
	}
}

// Of maps "package.Type.Field", or "package.Type" for a named type, to its markers
// in the Go files of the folders.
func Of(t testing.TB, folders ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, folder := range folders {
		paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if !strings.HasSuffix(path, "_test.go") {
				readFile(t, path, found)
			}
		}
	}
	return found
}

func readFile(t testing.TB, path string, found map[string][]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		if general, ok := decl.(*ast.GenDecl); ok && general.Tok == token.TYPE {
			collect(found, file.Name.Name, general)
		}
	}
}

func collect(found map[string][]string, pkg string, decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		found[pkg+"."+typ.Name.Name] = markersIn(decl.Doc)
		fields, ok := typ.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				found[pkg+"."+typ.Name.Name+"."+name.Name] = markersIn(f.Doc)
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
