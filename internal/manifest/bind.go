package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/policy"
)

// binder fills Go values from a tree, field names compared letter by letter.
// encoding/json is not used for structs because it ignores letter case.
type binder struct{ errs *Errors }

func (b *binder) isMapping(n *node, path string) bool {
	if n.kind != mapping {
		b.errs.add(n.line, path, "must be a set of fields, not %s", n.describe())
		return false
	}
	return true
}

// fields binds a mapping to a struct by its json tags; passed names are known
// and left out.
func (b *binder) fields(n *node, out reflect.Value, path string, passed ...string) {
	byName := make(map[string][]int)
	known := slices.Clone(passed)
	for _, f := range reflect.VisibleFields(out.Type()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" { // else it is embedded: its fields follow
			byName[name] = f.Index
			known = append(known, name)
		}
	}
	for _, f := range n.fields {
		if slices.Contains(passed, f.name) {
			continue
		}
		i, ok := byName[f.name]
		if !ok {
			b.unknown(f, path, known)
			continue
		}
		b.value(f.value, out.FieldByIndex(i), path+"."+f.name)
	}
	b.requireSections(n, out.Type(), path)
}

// requireSections asks for the sections that must be there: bound to a struct,
// an absent one looks like one that holds nothing, which may mean everything.
// All else that is required, Compile misses itself.
func (b *binder) requireSections(n *node, t reflect.Type, path string) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && !isOptional(f) && f.Type.Kind() == reflect.Struct && mayBeEmpty(f.Type) && n.find(name) == nil {
			b.errs.add(n.line, path+"."+name, "is required: write %s: {} if it should hold nothing", name)
		}
	}
}

func isOptional(f reflect.StructField) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.Contains(options, "omitempty")
}

// mayBeEmpty reports whether a section may hold nothing: of another one, Compile
// misses what is required in it.
func mayBeEmpty(section reflect.Type) bool {
	return !slices.ContainsFunc(reflect.VisibleFields(section), func(f reflect.StructField) bool { return !isOptional(f) })
}

// value binds one value. A scalar that is null is as good as absent. A set of
// fields or a list is not: "authorization:" with nothing below it is what is left
// of a file that is being written, and would let in more than its author meant.
func (b *binder) value(n *node, out reflect.Value, path string) {
	if n.kind == null {
		if holdsMore(out.Type()) {
			b.errs.add(n.line, path, "is empty: remove the line, or write below it what it should hold")
		}
		return
	}
	if out.Type() == reflect.TypeFor[policy.Duration]() {
		b.duration(n, out, path)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		b.value(n, out.Elem(), path)
	case reflect.Struct:
		if b.isMapping(n, path) {
			b.fields(n, out, path)
		}
	case reflect.Slice:
		b.list(n, out, path)
	case reflect.Map:
		b.textMap(n, out, path)
	default:
		b.scalar(n, out, path)
	}
}

// holdsMore reports whether a type is written as a set of fields or as a list.
func holdsMore(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return true
	case reflect.Struct:
		return t != reflect.TypeFor[policy.Duration]()
	default:
		return false
	}
}

func (b *binder) list(n *node, out reflect.Value, path string) {
	if n.kind != sequence {
		b.errs.add(n.line, path, "must be a list, not %s: begin each entry with a hyphen", n.describe())
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		path := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == null {
			b.errs.add(item.line, path, "is empty: remove the entry or fill it")
			continue
		}
		b.value(item, out.Index(i), path)
	}
}

func (b *binder) textMap(n *node, out reflect.Value, path string) {
	if !b.isMapping(n, path) {
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, f := range n.fields {
		if f.value.kind != scalarText {
			b.errs.add(f.line, path+"."+f.name, "must be a text, not %s%s", f.value.describe(), f.value.quoteHint())
			continue
		}
		out.SetMapIndex(reflect.ValueOf(f.name), reflect.ValueOf(f.value.value).Convert(out.Type().Elem()))
	}
}

func (b *binder) duration(n *node, out reflect.Value, path string) {
	if n.kind != scalarText {
		b.errs.add(n.line, path, "must be a duration such as 90s, not %s", n.describe())
		return
	}
	var d policy.Duration
	quoted, err := json.Marshal(n.value)
	if err == nil {
		err = d.UnmarshalJSON(quoted)
	}
	if err != nil {
		b.errs.add(n.line, path, "%v", err)
		return
	}
	out.Set(reflect.ValueOf(d))
}

func (b *binder) scalar(n *node, out reflect.Value, path string) {
	switch out.Kind() {
	case reflect.String:
		if n.kind == scalarText {
			out.SetString(n.value)
			return
		}
		b.errs.add(n.line, path, "must be a text, not %s%s", n.describe(), n.quoteHint())
	case reflect.Bool:
		truth, err := strconv.ParseBool(n.value)
		if n.kind == scalarBool && err == nil {
			out.SetBool(truth)
			return
		}
		b.errs.add(n.line, path, "must be true or false, not %s", n.describe())
	case reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(n.value, 10, out.Type().Bits())
		if n.kind == scalarNumber && err == nil {
			out.SetInt(number)
			return
		}
		b.errs.add(n.line, path, "must be a whole number, not %s", n.describe())
	default:
		b.errs.add(n.line, path, "cannot be read: %s is not known to this version", out.Type())
	}
}

// quoteHint helps with a number or a boolean that was meant as a text.
func (n *node) quoteHint() string {
	if n.kind == scalarNumber || n.kind == scalarBool {
		return ": put it in quotes"
	}
	return ""
}

// describe shows a value in a message, shortened.
func (n *node) describe() string {
	switch n.kind {
	case scalarText:
		if policy.HoldsKey(n.value) {
			return "an API key" // wherever it came from, no message shows it
		}
		return strconv.Quote(shorten(n.value))
	case scalarNumber, scalarBool:
		return shorten(n.value)
	default:
		return n.kind.String()
	}
}

func shorten(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}
