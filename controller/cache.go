package controller

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// cacheOptions keep the controller's memory small and free of secrets: of
// Secrets and ConfigMaps it sees only metadata (their content is fetched when
// it is needed), of pods only what conditions are made of.
func cacheOptions(cfg Config) cache.Options {
	options := cache.Options{
		DefaultTransform: stripMetadata,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:        {Transform: stripPod},
			&appsv1.Deployment{}: {Label: ofIssuers(), Transform: stripDeployment},
			&corev1.Service{}:    {Label: ofIssuers()}, &corev1.ServiceAccount{}: {Label: ofIssuers()},
			&policyv1.PodDisruptionBudget{}: {Label: ofIssuers()},
		},
	}
	if len(cfg.WatchNamespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, name := range cfg.WatchNamespaces {
			options.DefaultNamespaces[name] = cache.Config{}
		}
	}
	return options
}

// ofIssuers selects what runs issuers: all that the controller sees of its kinds.
func ofIssuers() labels.Selector {
	return labels.SelectorFromSet(labels.Set{v1alpha1.LabelComponent: v1alpha1.ComponentIssuer})
}

// stripDeployment keeps of a Deployment its metadata, its template's annotations,
// and how it fares.
func stripDeployment(object any) (any, error) {
	deployment, ok := object.(*appsv1.Deployment)
	if !ok {
		return object, nil // a tombstone
	}
	deployment.ManagedFields = nil
	deployment.Spec = appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Annotations: deployment.Spec.Template.Annotations},
	}}
	return deployment, nil
}

// clientOptions make typed reads of Secrets and ConfigMaps go to the API server.
func clientOptions() client.Options {
	return client.Options{
		FieldOwner: v1alpha1.FieldOwner,
		Cache:      &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}},
	}
}

// stripMetadata drops managed fields, and from objects of which only metadata
// is watched the annotations too: kubectl's last-applied-configuration of a
// Secret is the secret itself. Those of APIKeys mean nothing and may be large.
func stripMetadata(object any) (any, error) {
	if meta, ok := object.(metav1.Object); ok {
		meta.SetManagedFields(nil)
	}
	switch object := object.(type) {
	case *metav1.PartialObjectMetadata:
		object.Annotations = nil
	case *v1alpha1.APIKey:
		object.Annotations = nil
	}
	return object, nil
}

// stripPod keeps of a pod its name, labels and our annotations, the sidecar or the
// issuer with its admin port and its volume, its addresses, and how its containers
// fare.
func stripPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil // a tombstone
	}
	pod.ManagedFields = nil
	maps.DeleteFunc(pod.Annotations, func(name, _ string) bool { return !strings.HasPrefix(name, v1alpha1.Group+"/") })
	pod.Spec = corev1.PodSpec{
		InitContainers: stripContainers(pod.Spec.InitContainers, v1alpha1.ContainerName),
		Containers:     stripContainers(pod.Spec.Containers, v1alpha1.IssuerContainerName),
		Volumes:        bundleVolumeOf(pod.Spec.Volumes),
		HostNetwork:    pod.Spec.HostNetwork,
	}
	pod.Status = corev1.PodStatus{
		Phase: pod.Status.Phase, PodIP: pod.Status.PodIP, PodIPs: pod.Status.PodIPs,
		InitContainerStatuses: stripStatuses(pod.Status.InitContainerStatuses),
		ContainerStatuses:     stripStatuses(pod.Status.ContainerStatuses),
	}
	return pod, nil
}

func stripContainers(containers []corev1.Container, name string) []corev1.Container {
	for _, container := range containers {
		if container.Name == name {
			return []corev1.Container{{
				Name: container.Name, Image: container.Image, RestartPolicy: container.RestartPolicy, Ports: adminPortOf(container.Ports),
			}}
		}
	}
	return nil
}

func adminPortOf(ports []corev1.ContainerPort) []corev1.ContainerPort {
	for _, port := range ports {
		if port.Name == v1alpha1.AdminPortName {
			return []corev1.ContainerPort{{Name: port.Name, ContainerPort: port.ContainerPort}}
		}
	}
	return nil
}

func bundleVolumeOf(volumes []corev1.Volume) []corev1.Volume {
	for _, volume := range volumes {
		if (volume.Name == v1alpha1.VolumeName || volume.Name == v1alpha1.IssuerVolumeName) && volume.Secret != nil {
			return []corev1.Volume{{Name: volume.Name, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: volume.Secret.SecretName},
			}}}
		}
	}
	return nil
}

func stripStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	stripped := make([]corev1.ContainerStatus, 0, len(statuses))
	for _, status := range statuses {
		stripped = append(stripped, corev1.ContainerStatus{
			Name: status.Name, Ready: status.Ready, RestartCount: status.RestartCount,
			State: status.State, LastTerminationState: status.LastTerminationState,
		})
	}
	return stripped
}
