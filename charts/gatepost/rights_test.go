package gatepost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Every right that the chart gives, one to a line, with and without
// watchNamespaces: whoever adds one has it in the diff.
func TestRightsAreThoseOfTheGoldenFile(t *testing.T) {
	for name, args := range map[string][]string{
		"rights.txt":            nil,
		"rights-namespaces.txt": {"--set", "watchNamespaces={agents}"},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, filepath.Join("testdata", name), rights(roles(t, render(t, args...))))
		})
	}
}

// rights lists what roles grant.
func rights(list []rbacv1.ClusterRole) string {
	var lines []string
	for _, role := range list {
		where := role.Kind + " " + role.Name
		if role.Namespace != "" {
			where += " in " + role.Namespace
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					line := fmt.Sprintf("%s: %s %s", where, strings.Join(rule.Verbs, ","), strings.Trim(group+"/"+resource, "/"))
					if len(rule.ResourceNames) > 0 {
						line += " called " + strings.Join(rule.ResourceNames, ",")
					}
					lines = append(lines, line)
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// Nobody is bound to more than the controller's account, and that account to
// nothing that is not ours.
func TestOnlyTheControllerIsBound(t *testing.T) {
	for document := range strings.SplitSeq(render(t), "\n---\n") {
		var binding rbacv1.ClusterRoleBinding
		if err := yaml.Unmarshal([]byte(document), &binding); err != nil {
			t.Fatal(err)
		}
		if binding.Kind != "RoleBinding" && binding.Kind != "ClusterRoleBinding" {
			continue
		}
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: "gatepost", Namespace: namespace}}
		if !slices.Equal(binding.Subjects, want) {
			t.Errorf("%s %s binds %v", binding.Kind, binding.Name, binding.Subjects)
		}
		if !strings.HasPrefix(binding.RoleRef.Name, "gatepost") {
			t.Errorf("%s %s binds to %s", binding.Kind, binding.Name, binding.RoleRef.Name)
		}
	}
}

// Two replicas answer admission requests, and a drained node leaves one.
func TestTheWebhookOutlivesANode(t *testing.T) {
	var replicas int32
	var budget *policyv1.PodDisruptionBudget
	for document := range strings.SplitSeq(render(t), "\n---\n") {
		var deployment appsv1.Deployment
		if err := yaml.Unmarshal([]byte(document), &deployment); err != nil {
			t.Fatal(err)
		}
		switch deployment.Kind {
		case "Deployment":
			replicas = *deployment.Spec.Replicas
		case "PodDisruptionBudget":
			budget = &policyv1.PodDisruptionBudget{}
			if err := yaml.Unmarshal([]byte(document), budget); err != nil {
				t.Fatal(err)
			}
		}
	}
	if replicas < 2 {
		t.Errorf("%d replicas", replicas)
	}
	if budget == nil || budget.Spec.MinAvailable == nil || budget.Spec.MinAvailable.IntValue() != 1 {
		t.Errorf("the disruption budget is %+v", budget)
	}
}

// No reference of a spec can name another namespace: there is no field for it.
func TestNoReferenceLeavesItsNamespace(t *testing.T) {
	files, err := filepath.Glob("crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no CRDs: ", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			t.Fatal(err)
		}
		if crd.Spec.Scope != apiextensionsv1.NamespaceScoped {
			t.Errorf("%s: its objects belong to no namespace", file)
		}
		for _, version := range crd.Spec.Versions {
			spec := version.Schema.OpenAPIV3Schema.Properties["spec"]
			for _, field := range namespaceFields("spec", &spec) {
				t.Errorf("%s: %s can name a namespace", file, field)
			}
		}
	}
}

// namespaceFields are the fields below one whose name speaks of a namespace.
func namespaceFields(path string, schema *apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	for name, property := range schema.Properties {
		if strings.Contains(strings.ToLower(name), "namespace") {
			found = append(found, path+"."+name)
		}
		found = append(found, namespaceFields(path+"."+name, &property)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		found = append(found, namespaceFields(path+"[]", schema.Items.Schema)...)
	}
	return found
}
