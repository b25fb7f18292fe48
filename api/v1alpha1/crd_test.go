package v1alpha1_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
)

const crdDir = "../../config/crd"

// crd is one generated definition and what an API server makes of it.
type crd struct {
	object     *apiextensionsv1.CustomResourceDefinition
	structural *schema.Structural
	openapi    validation.SchemaValidator
	rules      *cel.Validator
}

func readCRD(t *testing.T, plural string) *crd {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(crdDir, v1alpha1.Group+"_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	object := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, object); err != nil {
		t.Fatal(err)
	}
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(object.Spec.Versions[0].Schema.OpenAPIV3Schema, internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(internal)
	if err != nil {
		t.Fatalf("%s is not structural: %v", plural, err)
	}
	openapi, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		t.Fatal(err)
	}
	return &crd{object, structural, openapi, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// admit defaults object in place and validates it as an API server does on
// create, or on update when old is given.
func (c *crd) admit(ctx context.Context, object, old map[string]any) []string {
	defaulting.PruneNonNullableNullsWithoutDefaults(object, c.structural)
	defaulting.Default(object, c.structural)
	dropped := pruning.PruneWithOptions(object, c.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	var errs field.ErrorList
	for _, path := range dropped {
		errs = append(errs, field.Invalid(field.NewPath(path), "", "unknown field"))
	}
	errs = append(errs, validation.ValidateCustomResource(nil, object, c.openapi)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, c.structural, object)...)
	if len(errs) == 0 {
		var before any
		if old != nil {
			before = old
		}
		more, _ := c.rules.Validate(ctx, nil, c.structural, object, before, celconfig.RuntimeCELCostBudget)
		errs = append(errs, more...)
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return texts
}

func plurals() []string {
	return []string{"signingkeys", "agentauthpolicies", "tokenissuers", "apikeys"}
}

// The definitions pass what an API server checks when they are installed:
// they are structural, their defaults are valid themselves, every rule compiles,
// has a message and keeps within the cost budget.
func TestAPIServersAcceptTheDefinitions(t *testing.T) {
	t.Parallel()
	for _, plural := range plurals() {
		t.Run(plural, func(t *testing.T) {
			t.Parallel()
			c := readCRD(t, plural)
			for _, err := range schema.ValidateStructural(nil, c.structural) {
				t.Error(err)
			}
			wrong, err := defaulting.ValidateDefaults(t.Context(), nil, c.structural, true, true)
			if err != nil {
				t.Error(err)
			}
			for _, err := range wrong {
				t.Error(err)
			}
			total := uint64(0)
			costs(t, c.structural, "", 1, func(path string, cost uint64) {
				total += cost
				if cost > perRuleBudget/4 {
					t.Errorf("%s: a rule may cost %d of %d", path, cost, perRuleBudget)
				}
			})
			if total > perCRDBudget/4 {
				t.Errorf("all rules may cost %d of %d", total, perCRDBudget)
			}
			t.Logf("figure: cel_cost_%s %.1f %%", plural, 100*float64(total)/perCRDBudget)
		})
	}
}

// What API servers allow: the worst case of one rule, and of all of a
// definition's. We keep to a quarter, so that other versions agree.
const (
	perRuleBudget = 10_000_000
	perCRDBudget  = 100_000_000
)

// costs reports the worst case of every rule: its own, times how often the
// lists around it let it be asked.
func costs(t *testing.T, s *schema.Structural, path string, times uint64, report func(path string, cost uint64)) {
	t.Helper()
	if len(s.XValidations) > 0 {
		base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
		results, err := cel.Compile(s, model.SchemaDeclType(s, path == ""), celconfig.PerCallLimit, base, cel.NewExpressionsEnvLoader())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for i, result := range results {
			rule := fmt.Sprintf("%s rule %d", path, i)
			if result.Error != nil {
				t.Errorf("%s: %v", rule, result.Error)
			}
			if s.XValidations[i].Message == "" {
				t.Errorf("%s has no message", rule)
			}
			report(rule, result.MaxCost*min(times, result.MaxCardinality))
		}
	}
	for name, property := range s.Properties {
		costs(t, &property, path+"."+name, times, report)
	}
	if s.Items != nil {
		most := int64(math.MaxInt32)
		if s.ValueValidation != nil && s.ValueValidation.MaxItems != nil {
			most = *s.ValueValidation.MaxItems
		}
		costs(t, s.Items, path+"[]", times*uint64(most), report)
	}
}

func TestDefinitionsSayHowKindsAreFoundAndListed(t *testing.T) {
	t.Parallel()
	type listing struct {
		Short, Categories, Columns []string
		Status                     bool
	}
	want := map[string]listing{
		"signingkeys":       {[]string{"sgk"}, []string{"gatepost"}, []string{"Algorithm", "Active-Key", "Ready", "Rotating", "Next-Rotation", "Age"}, true},
		"agentauthpolicies": {[]string{"aap"}, []string{"gatepost"}, []string{"Mode", "Accepted", "Programmed", "Enforced", "Pods", "Age"}, true},
		"tokenissuers":      {[]string{"tiss"}, []string{"gatepost"}, []string{"Issuer", "Key", "Ready", "Reason", "Replicas", "Active-Key", "Age"}, true},
		"apikeys":           {[]string{"apk"}, []string{"gatepost"}, []string{"Client", "Accepted", "Live", "Policies", "Next-Expiry", "Suspended", "Age"}, true},
	}
	for _, plural := range plurals() {
		c := readCRD(t, plural)
		version := c.object.Spec.Versions[0]
		got := listing{c.object.Spec.Names.ShortNames, c.object.Spec.Names.Categories, nil, version.Subresources.Status != nil}
		for _, column := range version.AdditionalPrinterColumns {
			got.Columns = append(got.Columns, column.Name)
		}
		if diff := cmp.Diff(want[plural], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", plural, diff)
		}
	}
}

// walk visits every property below s with its path.
func walk(s *schema.Structural, path string, visit func(path, name string, s *schema.Structural)) {
	for name, property := range s.Properties {
		visit(path+"."+name, name, &property)
		walk(&property, path+"."+name, visit)
	}
	if s.Items != nil {
		visit(path+"[]", "", s.Items)
		walk(s.Items, path+"[]", visit)
	}
}

// kubectl explain shows one sentence for each field, and it begins with the
// field's name.
func TestEveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	for _, plural := range plurals() {
		walk(readCRD(t, plural).structural, plural, func(path, name string, s *schema.Structural) {
			parent := path[:len(path)-len(name)]
			if name == "" || strings.Count(path, ".") == 1 {
				return // an element of a list, or apiVersion, kind, metadata, spec, status
			}
			if !strings.HasPrefix(s.Description, name+" ") && !strings.HasPrefix(s.Description, name+":") {
				t.Errorf("%s%s: its description must begin with %q, not %.60q", parent, name, name, s.Description)
			}
		})
	}
}

// Etcd, the controller's memory and CEL's cost are bounded only when every
// list and every string is.
func TestEveryListAndStringIsBounded(t *testing.T) {
	t.Parallel()
	foreign := regexp.MustCompile(`\.selector\.match|\.conditions\[\]|^[a-z]+\.(apiVersion|kind)$`) // Kubernetes' own types
	for _, plural := range plurals() {
		walk(readCRD(t, plural).structural, plural, func(path, _ string, s *schema.Structural) {
			v := s.ValueValidation
			if v == nil {
				v = &schema.ValueValidation{}
			}
			bounded := true
			switch {
			case foreign.MatchString(path):
			case s.Type == "array":
				bounded = v.MaxItems != nil
			case s.Type == "string":
				bounded = v.MaxLength != nil || len(v.Enum) > 0 || v.Format == "date-time"
			case s.Type == "object" && s.AdditionalProperties != nil:
				bounded = v.MaxProperties != nil
			}
			if !bounded {
				t.Errorf("%s has no bound", path)
			}
		})
	}
}
