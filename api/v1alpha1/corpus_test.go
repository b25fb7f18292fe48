package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/corpus"
)

// The schema and Compile are two judges of one policy. What is valid passes
// both; what is not is refused by the schema too, unless the archive says why a
// schema cannot see it.
func TestPolicyCorpusSchema(t *testing.T) {
	t.Parallel()
	var objects []judged
	for _, a := range corpus.Load(t) {
		if a.Dropped == "" {
			objects = append(objects, judged{a.Name, a.Manifest, a.Errors, a.SchemaAccepts})
		}
	}
	ofCluster := func(path string) bool { // a file has neither
		return strings.HasPrefix(path, "spec.selector") || strings.HasPrefix(path, "spec.capture")
	}
	agree(t, readCRD(t, "agentauthpolicies"), objects, ofCluster)
}

// The same of issuers.
func TestIssuerCorpusSchema(t *testing.T) {
	t.Parallel()
	var objects []judged
	for _, i := range corpus.Issuers(t) {
		objects = append(objects, judged{i.Name, i.Manifest, i.Errors, i.SchemaAccepts})
	}
	agree(t, readCRD(t, "tokenissuers"), objects, func(string) bool { return false })
}

// judged is an object of the corpus and what a file's reader says of it.
type judged struct {
	name          string
	manifest      []byte
	errors        []string
	schemaAccepts bool
}

// agree holds the schema to the corpus, and the corpus to the schema: each rule
// between fields refuses one of its objects, but for those that the corpus cannot
// break.
func agree(t *testing.T, c *crd, objects []judged, beyond func(path string) bool) {
	t.Helper()
	said := map[string]bool{}
	for _, o := range objects {
		t.Run(o.name, func(t *testing.T) {
			errs := c.admit(t.Context(), integers(read(t, o.manifest)).(map[string]any), nil)
			for message := range rulesBetween(c.structural) {
				if slices.ContainsFunc(errs, func(err string) bool { return strings.Contains(err, message) }) {
					said[message] = true
				}
			}
			valid := len(o.errors) == 0
			switch accepts := len(errs) == 0; {
			case valid && !accepts:
				t.Errorf("the schema refuses what is valid: %s", strings.Join(errs, "\n"))
			case !valid && accepts && !o.schemaAccepts:
				t.Errorf("the schema accepts what Compile refuses: %q", o.errors)
			case !valid && !accepts && o.schemaAccepts:
				t.Errorf("the archive says that a schema cannot see it, and it does: %s", strings.Join(errs, "\n"))
			}
		})
	}
	for message, path := range rulesBetween(c.structural) {
		if !said[message] && !beyond(path) {
			t.Errorf("no archive is refused by the rule of %s that says: %s", path, message)
		}
	}
}

// read is an object of a file as an API server gets it.
func read(t *testing.T, manifest []byte) map[string]any {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal(manifest, &object); err != nil {
		t.Fatal(err)
	}
	object["metadata"].(map[string]any)["namespace"] = "default"
	return object
}

func TestAPIKeysOfTheCorpusAreAdmitted(t *testing.T) {
	t.Parallel()
	keys := readCRD(t, "apikeys")
	for _, a := range corpus.Load(t) {
		for i, text := range strings.Split(string(a.APIKeys), "---\n") {
			var key map[string]any
			if text == "" {
				continue
			}
			if err := yaml.Unmarshal([]byte(text), &key); err != nil || key["kind"] != v1alpha1.KindAPIKey {
				t.Fatalf("%s: APIKey %d: %v", a.Name, i, err)
			}
			if errs := keys.admit(t.Context(), integers(key).(map[string]any), nil); len(errs) > 0 {
				t.Errorf("%s: APIKey %d: %s", a.Name, i, strings.Join(errs, "\n"))
			}
		}
	}
}

// rulesBetween are the messages of all rules between fields, with the field they stand at.
func rulesBetween(s *schema.Structural) map[string]string {
	found := map[string]string{}
	var walk func(s *schema.Structural, path string)
	walk = func(s *schema.Structural, path string) {
		for _, rule := range s.XValidations {
			found[rule.Message] = path
		}
		for name, property := range s.Properties {
			walk(&property, path+"."+name)
		}
		if s.Items != nil {
			walk(s.Items, path+"[]")
		}
	}
	spec := s.Properties["spec"]
	walk(&spec, "spec")
	return found
}
