//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// revokedWithin is how soon a client that is shut out has to be refused.
const revokedWithin = 20 * time.Second

// TestAPIKeys: a key is let in by every running pod of a policy soon after its
// APIKey was made, and refused soon after each way to take it back, while
// callers with tokens notice nothing.
func TestAPIKeys(t *testing.T) {
	agent := deploy(t)
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	object := &v1alpha1.APIKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: "crm", Labels: map[string]string{"team": "chat"}},
		Spec: policy.APIKeySpec{
			ClientID: "crm", Values: []policy.APIKeyValue{{Name: "v1", KeyHash: key.Hash().String()}},
			Claims: map[string]policy.ClaimText{"role": "teacher"},
		},
	}
	accept := `{"spec":{"apiKeyAuth":{"credentialSelector":{"matchLabels":{"team":"chat"}}}}}`
	guard, err := agent.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.API.Patch(t.Context(), guard, client.RawPatch("application/merge-patch+json", []byte(accept))); err != nil {
		t.Fatal(err)
	}
	patch := func(text string) func(context.Context) error {
		return func(ctx context.Context) error {
			return agent.API.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(text)))
		}
	}
	tally := agent.UnderLoad(t.Context(), func(*stage.Load) {
		for _, step := range []struct {
			name   string
			do     func(context.Context) error
			status int
		}{
			{"accepted", func(ctx context.Context) error { return agent.Create(ctx, object) }, http.StatusOK},
			{"suspended", patch(`{"spec":{"suspend":true}}`), http.StatusUnauthorized},
			{"back", patch(`{"spec":{"suspend":false}}`), http.StatusOK},
			{"unlabelled", patch(`{"metadata":{"labels":{"team":"other"}}}`), http.StatusUnauthorized},
			{"labelled", patch(`{"metadata":{"labels":{"team":"chat"}}}`), http.StatusOK},
			{"deleted", func(ctx context.Context) error { return agent.API.Delete(ctx, object) }, http.StatusUnauthorized},
		} {
			began := time.Now()
			if err := step.do(t.Context()); err != nil {
				t.Errorf("%s: %v", step.name, err)
				return
			}
			if err := stage.Eventually(t.Context(), revokedWithin, func(ctx context.Context) error { return callWith(ctx, agent, key, step.status) }); err != nil {
				t.Errorf("%s: %v", step.name, err)
				return
			}
			figure(t, "api_key_"+step.name, fmt.Sprintf("%.1f", time.Since(began).Seconds()), "seconds")
		}
	})
	report(t, tally.Findings(), nil)
}

// callWith calls the agent through its Service ten times, so that each of its
// pods is met, and wants the status of all.
func callWith(ctx context.Context, agent *stage.Agent, key apikey.Key, status int) error {
	for range 10 {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, agent.URL("/agent"), strings.NewReader(`{"message":"hello"}`))
		if err != nil {
			return err
		}
		r.Header.Set("X-API-Key", key.Reveal())
		r.Header.Set("Content-Type", "application/json")
		res, err := agent.Pod.Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		if res.StatusCode != status || strings.Contains(string(body), `"x-auth-client":"crm"`) != (status == http.StatusOK) {
			return fmt.Errorf("answered %d %s, want %d", res.StatusCode, body, status)
		}
	}
	return nil
}
