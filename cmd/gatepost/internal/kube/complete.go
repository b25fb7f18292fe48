package kube

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// completionPatience is how long a shell waits for names.
const completionPatience = 3 * time.Second

// complete completes the flags themselves: contexts from the kubeconfig,
// namespaces from the cluster.
func (f *Flags) complete(command *cobra.Command) {
	_ = command.RegisterFlagCompletionFunc("context", func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		raw, err := f.loader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range raw.Contexts {
			names = append(names, name)
		}
		return beginning(names, begun), cobra.ShellCompDirectiveNoFileComp
	}) // it fails for a flag that is not there
	_ = command.RegisterFlagCompletionFunc("namespace", func(command *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return f.names(command, &corev1.NamespaceList{}, begun)
	})
}

// Names completes the first argument of a command with the names of objects of
// the list's kind, in the namespace of the flags.
func (f *Flags) Names(list client.ObjectList) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.names(command, list, begun)
	}
}

// FlagNames completes the value of a flag with the names of objects.
func (f *Flags) FlagNames(command *cobra.Command, flag string, list client.ObjectList) {
	_ = command.RegisterFlagCompletionFunc(flag, func(command *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return f.names(command, list, begun)
	}) // it fails for a flag that is not there
}

// names asks the cluster. What goes wrong is no answer: a shell that completes
// is no place for errors.
func (f *Flags) names(command *cobra.Command, list client.ObjectList, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), completionPatience)
	defer cancel()
	cluster, err := f.Connect()
	if err != nil || cluster.Client.List(ctx, list, cluster.In()...) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	_ = meta.EachListItem(list, func(object runtime.Object) error {
		if named, err := meta.Accessor(object); err == nil {
			names = append(names, named.GetName())
		}
		return nil
	}) // it fails for what is no list
	return beginning(names, begun), cobra.ShellCompDirectiveNoFileComp
}

// beginning are the names that begin so, sorted.
func beginning(names []string, begun string) []cobra.Completion {
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, begun) })
	slices.Sort(names)
	return names
}
