//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// healsWithin is how soon a deleted Secret has to be back.
const healsWithin = 20 * time.Second

// TestDeletedSecretsHeal: what the controller writes it also restores, with the
// same keys in it, while the sidecars go on.
func TestDeletedSecretsHeal(t *testing.T) {
	agent := deploy(t)
	for name, secret := range map[string]string{
		"TheBundle":         v1alpha1.BundleName(stage.PolicyName),
		"TheExportedSecret": "agent-jwt",
	} {
		t.Run(name, func(t *testing.T) {
			tally := agent.UnderLoad(t.Context(), func(*stage.Load) {
				began := time.Now()
				if err := deleteAndWait(t.Context(), agent, secret); err != nil {
					t.Error(err)
				}
				figure(t, "healed_"+secret, time.Since(began).Round(time.Millisecond).Seconds(), "seconds")
				pause(t, 5*time.Second) // in which the kubelet shows the pods what came back
			})
			report(t, tally.Findings(), nil)
		})
	}
}

// deleteAndWait deletes a Secret and waits until another one holds the same.
func deleteAndWait(ctx context.Context, agent *stage.Agent, name string) error {
	at := client.ObjectKey{Namespace: agent.Namespace, Name: name}
	var before, after corev1.Secret
	if err := agent.API.Get(ctx, at, &before); err != nil {
		return err
	}
	if err := agent.API.Delete(ctx, &before); err != nil {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return stage.Eventually(ctx, healsWithin, func(ctx context.Context) error {
		if err := agent.API.Get(ctx, at, &after); err != nil {
			return err
		}
		if after.UID == before.UID {
			return errors.New("it has not been deleted yet")
		}
		if names := differing(before.Data, after.Data); len(names) > 0 {
			return fmt.Errorf("Secret %s came back with other contents: data keys that differ: %v", name, names)
		}
		return nil
	})
}

// differing names the data keys that two Secrets do not agree on: names, since
// what they hold has no place in a log.
func differing(a, b map[string][]byte) []string {
	names := maps.Clone(a)
	maps.Copy(names, b)
	maps.DeleteFunc(names, func(name string, _ []byte) bool {
		return bytes.Equal(material(name, a[name]), material(name, b[name]))
	})
	return slices.Sorted(maps.Keys(names))
}

// material is what of a data key's value has to survive: of keys.json the keys,
// while its revision goes on.
func material(name string, value []byte) []byte {
	var file struct {
		Providers json.RawMessage `json:"providers"`
	}
	if name != v1alpha1.BundleKeysKey || json.Unmarshal(value, &file) != nil {
		return value
	}
	return file.Providers
}

// TestNamespaceDeletes: nothing of Gatepost's holds up the end of a namespace
// that holds an agent, a key, a policy and all that belongs to them.
func TestNamespaceDeletes(t *testing.T) {
	agent := deploy(t)
	began := time.Now()
	if err := agent.API.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: agent.Namespace}}); err != nil {
		t.Fatal(err)
	}
	err := stage.Eventually(t.Context(), time.Minute, func(ctx context.Context) error {
		var left corev1.Namespace
		err := agent.API.Get(ctx, client.ObjectKey{Name: agent.Namespace}, &left)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err == nil {
			return fmt.Errorf("it is still there: %+v", left.Status.Conditions)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "namespace_deleted_within", time.Since(began).Round(100*time.Millisecond).Seconds(), "seconds")
}
