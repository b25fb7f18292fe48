package controller

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func workloadOf(replicas int32, grants ...grant.Grant) workload {
	issuer := &v1alpha1.TokenIssuer{ObjectMeta: metav1.ObjectMeta{Namespace: "school", Name: "auth", UID: "uid-1"}}
	users := &grant.Password{UsersSecretRef: grant.UsersSecretRef{Name: "users", Key: "htpasswd"}}
	return workload{
		issuer: issuer, spec: grant.Spec{Replicas: &replicas, Grants: grants, Password: users},
		image: issuerImage{name: "localhost/gatepost-issuer:dev", pull: corev1.PullIfNotPresent}, revision: 7,
	}
}

// What runs an issuer, whole: whoever changes it has it in the diff.
func TestWorkloadsAreThoseOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]workload{
		"issuer-sessions.golden.yaml":  workloadOf(3, grant.GrantSession, grant.GrantClientCredentials),
		"issuer-passwords.golden.yaml": workloadOf(1, grant.GrantPassword, grant.GrantRefreshToken),
	} {
		objects, err := load.objects()
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, object := range objects {
			text, err := yaml.Marshal(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		compareGolden(t, filepath.Join("testdata", name), strings.Join(texts, "---\n"))
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

// The least revision is no reason to replace pods. It is renewed when they are
// replaced anyway, and nobody can set it to one that never comes.
func TestTheLeastRevisionMovesWithTheTemplate(t *testing.T) {
	t.Parallel()
	load := workloadOf(2, grant.GrantSession)
	there := func(edit func(*appsv1.Deployment)) *appsv1.Deployment {
		before := load
		before.revision = 3
		deployment := before.deployment()
		edit(deployment)
		return deployment
	}
	annotate := func(text string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Spec.Template.Annotations[v1alpha1.AnnotationBundleRevision] = text
		}
	}
	for sentence, test := range map[string]struct {
		have *appsv1.Deployment
		want int64
	}{
		"there is none yet":             {nil, 7},
		"the template is the same":      {there(func(*appsv1.Deployment) {}), 3},
		"the template is another":       {there(func(d *appsv1.Deployment) { d.Annotations[annotationWorkload] = "other" }), 7},
		"somebody wrote a later one":    {there(annotate("99")), 7},
		"somebody wrote none":           {there(annotate("")), 7},
		"somebody wrote a negative one": {there(annotate("-3")), 7},
	} {
		if got := leastRevision(test.have, load); got != test.want {
			t.Errorf("%s: %d, want %d", sentence, got, test.want)
		}
	}
	if load.deployment().Annotations[annotationWorkload] != there(func(*appsv1.Deployment) {}).Annotations[annotationWorkload] {
		t.Error("the digest of a template counts the revision")
	}
}
