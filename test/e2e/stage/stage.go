package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/cluster"
)

// Where Gatepost is installed.
const (
	Release   = "gatepost"
	Namespace = "gatepost-system"
)

// Stage is a cluster with Gatepost installed.
type Stage struct {
	*cluster.Cluster
	API      client.Client
	Images   Images
	Checkout string // root of the source tree: the chart and the examples are taken from there
}

// New returns a stage on a cluster where nothing of ours needs to be yet.
func New(c *cluster.Cluster, images Images, checkout string) (*Stage, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	api, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &Stage{Cluster: c, API: api, Images: images, Checkout: checkout}, nil
}

// Install installs the chart, or upgrades it, with the times that let a key live
// a minute instead of a month, and waits until it runs.
func (s *Stage) Install(ctx context.Context) error {
	sidecar, sidecarTag := repositoryAndTag(s.Images.Sidecar)
	controller, controllerTag := repositoryAndTag(s.Images.Controller)
	issuer, issuerTag := repositoryAndTag(s.Images.Issuer)
	cmd := s.OnNode(ctx, "helm", "upgrade", "--install", Release, filepath.Join(s.Checkout, "charts", "gatepost"),
		"--namespace", Namespace, "--create-namespace", "--wait", "--timeout", "3m",
		"--set", "image.sidecar.repository="+sidecar, "--set", "image.sidecar.tag="+sidecarTag,
		"--set", "image.controller.repository="+controller, "--set", "image.controller.tag="+controllerTag,
		"--set", "image.issuer.repository="+issuer, "--set", "image.issuer.tag="+issuerTag,
		"--set", "image.pullPolicy=IfNotPresent",
		"--set", "rotation.minPrePublish=1s", "--set", "rotation.retireMargin=2s")
	if err := run(cmd); err != nil {
		return fmt.Errorf("installing the chart: %w", err)
	}
	return nil
}

// Uninstall takes the chart away again.
func (s *Stage) Uninstall(ctx context.Context) error {
	return run(s.OnNode(ctx, "helm", "uninstall", Release, "--namespace", Namespace, "--wait", "--ignore-not-found"))
}

func repositoryAndTag(image string) (repository, tag string) {
	if n := strings.LastIndexByte(image, ':'); n > strings.LastIndexByte(image, '/') {
		return image[:n], image[n+1:]
	}
	return image, "latest"
}

// Create makes objects, or makes them be as given.
func (s *Stage) Create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		gvk, err := s.API.GroupVersionKindFor(object)
		if err != nil {
			return err
		}
		object.GetObjectKind().SetGroupVersionKind(gvk)
		data, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if err := s.ApplyText(ctx, object.GetNamespace(), string(data)); err != nil {
			return fmt.Errorf("applying %s %s: %w", gvk.Kind, object.GetName(), err)
		}
	}
	return nil
}

// ApplyText applies manifests; those that name no namespace go into the given one.
func (s *Stage) ApplyText(ctx context.Context, namespace, manifests string) error {
	args := []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}
	if namespace != "" {
		args = append(args, "--namespace", namespace)
	}
	cmd := s.OnNode(ctx, "kubectl", args...)
	cmd.Stdin = strings.NewReader(manifests)
	return run(cmd)
}

// Eventually asks again and again until there is no error, at most for the given
// time, and then returns the last one.
func Eventually(ctx context.Context, within time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticks := time.NewTicker(250 * time.Millisecond)
	defer ticks.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // and not that the time was up in the middle of asking
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("within %s: %w", within, last)
		case <-ticks.C:
		}
	}
}
