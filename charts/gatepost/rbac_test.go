package gatepost_test

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// roles are the roles of a rendered chart, Roles and ClusterRoles alike.
func roles(t *testing.T, rendered string) []rbacv1.ClusterRole {
	t.Helper()
	var found []rbacv1.ClusterRole
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind == "Role" || role.Kind == "ClusterRole" {
			found = append(found, role)
		}
	}
	return found
}

func TestRights(t *testing.T) {
	for _, values := range valueFiles(t) {
		for _, role := range roles(t, render(t, "--values", values)) {
			if len(role.Rules) == 0 {
				t.Errorf("%s: %s has no rules", values, role.Name)
			}
			for _, rule := range role.Rules {
				checkRule(t, values+": "+role.Kind+" "+role.Namespace+"/"+role.Name, role, rule)
			}
		}
	}
}

func checkRule(t *testing.T, where string, role rbacv1.ClusterRole, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
		for _, entry := range list {
			if strings.Contains(entry, "*") {
				t.Errorf("%s: %q grants more than anybody has thought of", where, entry)
			}
		}
	}
	for label := range role.Labels {
		aggregated := strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
		if aggregated && !slices.Equal(rule.APIGroups, []string{"gatepost.dev"}) {
			t.Errorf("%s: people get rights on %v", where, rule.APIGroups)
		}
	}
	for _, verb := range []string{"escalate", "bind", "impersonate", "deletecollection"} {
		if slices.Contains(rule.Verbs, verb) && !strings.HasSuffix(role.Name, "-admin") {
			t.Errorf("%s: verb %s", where, verb)
		}
	}
	if slices.Contains(rule.Resources, "pods") && (slices.Contains(rule.Verbs, "create") || slices.Contains(rule.Verbs, "delete") || slices.Contains(rule.Verbs, "update")) {
		t.Errorf("%s: pods may be patched and no more, got %v", where, rule.Verbs)
	}
}

// With a list of namespaces nothing but one webhook configuration is reached
// outside of them.
func TestWatchedNamespacesBoundTheRights(t *testing.T) {
	for _, role := range roles(t, render(t, "--set", "watchNamespaces={agents}")) {
		inside := role.Kind == "Role" && (role.Namespace == "agents" || role.Namespace == namespace)
		forPeople := strings.HasSuffix(role.Name, "-view") || strings.HasSuffix(role.Name, "-edit") || strings.HasSuffix(role.Name, "-admin")
		if inside || forPeople {
			continue
		}
		for _, rule := range role.Rules {
			if !slices.Equal(rule.Resources, []string{"mutatingwebhookconfigurations"}) || len(rule.ResourceNames) != 1 {
				t.Errorf("%s %s/%s reaches %v", role.Kind, role.Namespace, role.Name, rule.Resources)
			}
		}
	}
}
