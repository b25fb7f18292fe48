package stage

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// StopController scales the controller to nothing and waits until its pods are gone.
func (s *Stage) StopController(ctx context.Context) error {
	if err := s.scaleController(ctx, "0"); err != nil {
		return err
	}
	return Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := s.API.List(ctx, &pods, client.InNamespace(Namespace)); err != nil {
			return err
		}
		if len(pods.Items) > 0 {
			return fmt.Errorf("%d pods of the controller are left", len(pods.Items))
		}
		return nil
	})
}

// StartController scales the controller to its two replicas and waits for them.
func (s *Stage) StartController(ctx context.Context) error {
	if err := s.scaleController(ctx, "2"); err != nil {
		return err
	}
	if _, err := s.Kubectl(ctx, "-n", Namespace, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=2m"); err != nil {
		return fmt.Errorf("waiting for the controller: %w", err)
	}
	return nil
}

func (s *Stage) scaleController(ctx context.Context, replicas string) error {
	if _, err := s.Kubectl(ctx, "-n", Namespace, "scale", "deployment", "--all", "--replicas="+replicas); err != nil {
		return fmt.Errorf("scaling the controller: %w", err)
	}
	return nil
}
