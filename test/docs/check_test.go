package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// check judges what can be judged without running it.
func check(t *testing.T, path string, b block) {
	t.Helper()
	var err error
	switch b.mark {
	case markPolicy:
		err = checkPolicy(b.text)
	case markManifest:
		err = checkManifest(b.text)
	case markFrom:
		if !contains(read(t, b.name), b.text) {
			err = fmt.Errorf("%s has no such lines", b.name)
		}
	}
	if err != nil {
		t.Errorf("%s:%d: %v", path, b.line, err)
	}
}

// checkPolicy compiles a policy file, or what stands below a policy's spec.
func checkPolicy(text string) error {
	if !strings.Contains(text, "apiVersion:") {
		text = "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: page}\nspec:\n  " +
			strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	doc, err := manifest.Parse([]byte(text))
	if err != nil {
		return err
	}
	return supported(doc.Spec)
}

func supported(spec policy.Spec) error {
	if missing := policy.Unsupported(spec); len(missing) > 0 {
		return fmt.Errorf("not built yet: %s", strings.Join(missing, "; "))
	}
	return nil
}

// checkManifest reads Kubernetes objects as an API server with fieldValidation
// Strict would, and compiles the policies among them.
func checkManifest(text string) error {
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), v1alpha1.AddToScheme(known)); err != nil {
		return err
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
	document := make([]byte, manifest.MaxBytes)
	for {
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(document[:n])) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document[:n], nil, nil)
		if err != nil {
			return err
		}
		if err := compiles(object); err != nil {
			return err
		}
	}
}

// compiles applies the rules that a schema alone cannot tell.
func compiles(object runtime.Object) error {
	switch o := object.(type) {
	case *v1alpha1.AgentAuthPolicy:
		_, err := policy.Compile(o.Spec.Spec)
		return errors.Join(err, supported(o.Spec.Spec))
	case *v1alpha1.TokenIssuer:
		_, err := grant.Compile(o.Spec)
		return err
	}
	return nil
}

// contains finds the lines of text in a file, whatever the indentation of both.
func contains(file, text string) bool {
	return strings.Contains("\n"+flush(file), "\n"+flush(text))
}

func flush(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}
