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
	c := readCRD(t, "agentauthpolicies")
	said := map[string]bool{}
	for _, a := range corpus.Load(t) {
		t.Run(a.Name, func(t *testing.T) {
			if a.Dropped != "" {
				t.Skip(a.Dropped)
			}
			var policy map[string]any
			if err := yaml.Unmarshal(a.Manifest, &policy); err != nil {
				t.Fatal(err)
			}
			policy["metadata"].(map[string]any)["namespace"] = "default"
			errs := c.admit(t.Context(), integers(policy).(map[string]any), nil)
			for message := range rulesBetween(c.structural) {
				if slices.ContainsFunc(errs, func(err string) bool { return strings.Contains(err, message) }) {
					said[message] = true
				}
			}
			switch accepts := len(errs) == 0; {
			case a.Valid() && !accepts:
				t.Errorf("the schema refuses a valid policy: %s", strings.Join(errs, "\n"))
			case !a.Valid() && accepts && !a.SchemaAccepts:
				t.Errorf("the schema accepts what Compile refuses: %q", a.Errors)
			case !a.Valid() && !accepts && a.SchemaAccepts:
				t.Errorf("the archive says that a schema cannot see it, and it does: %s", strings.Join(errs, "\n"))
			}
		})
	}
	for message, path := range rulesBetween(c.structural) {
		ofCluster := strings.HasPrefix(path, "spec.selector") || strings.HasPrefix(path, "spec.capture") // a file has neither
		if !said[message] && !ofCluster {
			t.Errorf("no archive is refused by the rule of %s that says: %s", path, message)
		}
	}
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
