package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// keysCommand is about SigningKeys in a cluster.
func keysCommand(now func() time.Time) *cobra.Command {
	command := &cobra.Command{
		Use:   "keys",
		Short: "See, rotate and revoke signing keys",
		Long: `See SigningKeys and what happens to them, rotate them, and revoke keys.

Requests are annotations of the SigningKey, which the controller carries out;
its spec is never changed.`,
	}
	command.AddCommand(keysStatusCommand(now), rotateCommand(now), revokeCommand(now), confirmCommand())
	return command
}

func keysStatusCommand(now func() time.Time) *cobra.Command {
	var where kube.Flags
	var format output.Format
	command := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show SigningKeys: phases, who has the keys, the next rotation",
		Long: `Show SigningKeys, one on each line, or one of them with its keys.

VERIFIERS is how many guarded pods have proved that they have the newest key.
The phases: Published (accepted, not used yet), Active (accepted and used),
Retiring (accepted, no longer used).`,
		Example: `  gatepost keys status
  gatepost keys status agent-tokens -n agents`,
		Args:              arguments(0, 1),
		ValidArgsFunction: where.Names(&v1alpha1.SigningKeyList{}),
		RunE: func(command *cobra.Command, args []string) error {
			return showKeys(command, where, format, cmp.Or(args...), now())
		},
	}
	where.AddAll(command)
	format.Flag(command)
	return command
}

func showKeys(command *cobra.Command, where kube.Flags, format output.Format, name string, now time.Time) error {
	if where.All && name != "" {
		return errors.New("-A: a SigningKey has one namespace: give -n instead")
	}
	cluster, err := where.Connect()
	if err != nil {
		return err
	}
	issuers, err := tokenIssuers(command, cluster)
	if err != nil {
		return err
	}
	printer := output.To(command, format)
	if name != "" {
		key, err := signingKey(command, cluster, name)
		if err != nil {
			return err
		}
		view := keys.Of(key, keys.SignersOf(key, issuers))
		return printer.Print(view, keys.Page(view, now)...)
	}
	var list v1alpha1.SigningKeyList
	if err := cluster.List(command.Context(), &list, "listing SigningKeys"); err != nil {
		return err
	}
	views := make([]keys.View, 0, len(list.Items))
	for i := range list.Items {
		views = append(views, keys.Of(&list.Items[i], keys.SignersOf(&list.Items[i], issuers)))
	}
	return printer.Print(map[string]any{"items": views}, keys.Table(views, where.All, now))
}

// tokenIssuers are those of the namespace; none where the cluster does not know
// the kind, or does not show it.
func tokenIssuers(command *cobra.Command, cluster *kube.Cluster) ([]v1alpha1.TokenIssuer, error) {
	var list v1alpha1.TokenIssuerList
	err := cluster.List(command.Context(), &list, "listing TokenIssuers")
	if kube.IsHidden(err) {
		return nil, nil
	}
	return list.Items, err
}

// signingKey fetches one; where there is none of the name, the error names those
// that are there.
func signingKey(command *cobra.Command, cluster *kube.Cluster, name string) (*v1alpha1.SigningKey, error) {
	var key v1alpha1.SigningKey
	err := cluster.Get(command.Context(), name, &key, fmt.Sprintf("fetching SigningKey %s/%s", cluster.Namespace, name))
	if !kube.IsMissing(err) {
		return &key, err
	}
	var list v1alpha1.SigningKeyList
	if cluster.List(command.Context(), &list, "listing SigningKeys") != nil {
		return nil, err
	}
	var names []string
	_ = meta.EachListItem(&list, nameInto(&names)) // it is a list
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no SigningKey %s in namespace %s, nor any other: give the namespace with -n", name, cluster.Namespace)
	}
	return nil, fmt.Errorf("there is no SigningKey %s in namespace %s: there are %v; or give the namespace with -n", name, cluster.Namespace, names)
}
