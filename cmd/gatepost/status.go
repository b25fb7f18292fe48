package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/survey"
)

func statusCommand(now func() time.Time) *cobra.Command {
	var where kube.Flags
	var format output.Format
	var check bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show what is guarded, what is not, and why",
		Long: `Show what is guarded in a namespace, or with -A in all of them: what wants
something done, the most urgent first, and then the policies with their pods, the
signing keys and the issuers.

Urgency: Unguarded (an agent is reached by requests that nobody judged), Failing
(something that was asked for is not in force), Look (it works; have a look).

With --check the exit code is 1 when anything is Unguarded or Failing.`,
		Example: `  gatepost status -n agents
  gatepost status -A --check`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := where.Connect()
			if err != nil {
				return err
			}
			world, err := readWorld(command, cluster)
			if err != nil {
				return err
			}
			report := survey.Take(world)
			if err := output.To(command, format).Print(report, report.Tables(where.All, now())...); err != nil {
				return err
			}
			if check && report.Urgent() {
				return errUnexpected
			}
			return nil
		},
	}
	where.AddAll(command)
	format.Flag(command)
	command.Flags().BoolVar(&check, "check", false, "exit code 1 when anything is Unguarded or Failing")
	return command
}

// readWorld lists what there is. Policies have to be shown; of the rest, what the
// cluster does not show is left out, and said.
func readWorld(command *cobra.Command, cluster *kube.Cluster) (survey.World, error) {
	ctx := command.Context()
	var policies v1alpha1.AgentAuthPolicyList
	if err := cluster.List(ctx, &policies, "listing AgentAuthPolicies"); err != nil {
		return survey.World{}, err
	}
	world := survey.World{Policies: policies.Items, Injects: map[string]bool{}}
	var signingKeys v1alpha1.SigningKeyList
	var issuers v1alpha1.TokenIssuerList
	var apiKeys v1alpha1.APIKeyList
	var pods corev1.PodList
	for _, list := range []struct {
		kind string
		into client.ObjectList
	}{{"SigningKeys", &signingKeys}, {"TokenIssuers", &issuers}, {"APIKeys", &apiKeys}, {"pods", &pods}} {
		switch err := cluster.List(ctx, list.into, "listing "+list.kind); {
		case kube.IsHidden(err):
			world.Hidden = append(world.Hidden, list.kind)
		case err != nil:
			return survey.World{}, err
		}
	}
	world.Keys, world.Issuers, world.APIKeys, world.Pods = signingKeys.Items, issuers.Items, apiKeys.Items, pods.Items
	return world, readNamespaces(command, cluster, world.Injects)
}

// readNamespaces notes which namespaces inject; those that are not shown stay
// unknown.
func readNamespaces(command *cobra.Command, cluster *kube.Cluster, injects map[string]bool) error {
	var list corev1.NamespaceList
	if cluster.Namespace == "" {
		if err := cluster.List(command.Context(), &list, "listing namespaces"); err != nil && !kube.IsForbidden(err) {
			return err
		}
	} else {
		var one corev1.Namespace
		err := cluster.Explain(fmt.Sprintf("fetching namespace %s", cluster.Namespace), cluster.Client.Get(command.Context(), client.ObjectKey{Name: cluster.Namespace}, &one))
		switch {
		case err == nil:
			list.Items = append(list.Items, one)
		case !kube.IsForbidden(err):
			return err
		}
	}
	for i := range list.Items {
		injects[list.Items[i].Name] = list.Items[i].Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled
	}
	return nil
}
