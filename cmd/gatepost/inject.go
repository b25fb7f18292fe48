package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/podfile"
	"gatepost.dev/gatepost/controller/inject"
)

// injection holds the flags of `inject`.
type injection struct {
	where      kube.Flags
	files      []string
	policies   []string
	cluster    bool
	image      string
	pullPolicy string
	adminPort  int32
	logLevel   string
}

func injectCommand() *cobra.Command {
	var i injection
	command := &cobra.Command{
		Use:   "inject -f FILE --image IMAGE",
		Short: "Put the sidecar into the pods of manifests, as the webhook would",
		Long: `Put the sidecar into the pods and pod templates of manifests, with the code of the
webhook, and print the manifests. Everything else stays as it is, order and
comments included. What was guarded, what was not, and what a container's author has
to know, such as the address it is told to listen on (HOST), is said on stderr.

The policies are those among the manifests and in the files of --policy; with
--cluster those of the cluster. A pod belongs to the oldest policy of its
namespace whose selector selects its labels. Nothing is printed when a pod
cannot be guarded: the error says why and what to change.

A guarded pod mounts the bundle that the controller writes, so it needs the policy
in the cluster to start.`,
		Example: `  gatepost inject -f app.yaml --policy policy.yaml --image localhost/gatepost-sidecar:1.0 | kubectl apply -f -
  kubectl get deployment chat -o yaml | gatepost inject -f - --cluster --image localhost/gatepost-sidecar:1.0`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error { return i.run(command) },
	}
	i.where.Add(command)
	flags := command.Flags()
	flags.StringArrayVarP(&i.files, "file", "f", nil, "manifests to inject, `FILE` or - for stdin; repeat it for several")
	flags.StringArrayVar(&i.policies, "policy", nil, "`FILE` with AgentAuthPolicies; repeat it for several")
	flags.BoolVar(&i.cluster, "cluster", false, "take the policies of the cluster")
	flags.StringVar(&i.image, "image", "", "the sidecar's image; the chart's admission policy refuses another than its own")
	flags.StringVar(&i.pullPolicy, "image-pull-policy", "", "IfNotPresent, Always or Never; default: left to Kubernetes")
	flags.Int32Var(&i.adminPort, "admin-port", v1alpha1.AdminPort, "the sidecar's port for probes, metrics and state: the chart's adminPort")
	flags.StringVar(&i.logLevel, "log-level", "info", "of sidecars whose pod does not say: debug, info, warn or error")
	_ = command.MarkFlagRequired("file")
	_ = command.MarkFlagRequired("image")
	command.MarkFlagsMutuallyExclusive("policy", "cluster")
	return command
}

func (i *injection) run(command *cobra.Command) error {
	options, texts, err := i.options(command)
	if err != nil {
		return err
	}
	var out strings.Builder
	var outcomes []podfile.Outcome
	for n, text := range texts {
		written, found, err := podfile.Inject(text, options)
		if err != nil {
			return fmt.Errorf("-f %s: %w", i.files[n], err)
		}
		if n > 0 && !strings.HasPrefix(string(written), "---") {
			out.WriteString("---\n")
		}
		out.Write(written)
		outcomes = append(outcomes, found...)
	}
	if _, err := io.WriteString(command.OutOrStdout(), out.String()); err != nil {
		return err
	}
	return report(command.ErrOrStderr(), outcomes, options.Policies)
}

// options are what to inject with, and the manifests.
func (i *injection) options(command *cobra.Command) (podfile.Options, [][]byte, error) {
	pull := corev1.PullPolicy(i.pullPolicy)
	known := []corev1.PullPolicy{"", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}
	if !slices.Contains(known, pull) {
		return podfile.Options{}, nil, fmt.Errorf("--image-pull-policy %q: write IfNotPresent, Always or Never", i.pullPolicy)
	}
	options := podfile.Options{
		Config:    inject.Config{Image: i.image, PullPolicy: pull, AdminPort: i.adminPort, LogLevel: i.logLevel},
		Namespace: cmp.Or(i.where.Namespace, corev1.NamespaceDefault),
	}
	texts, err := i.read(command, options.Namespace, &options.Policies)
	if err == nil && i.cluster {
		err = i.ask(command, &options)
	}
	if err == nil && len(options.Policies) == 0 {
		err = errors.New("there is no AgentAuthPolicy among the manifests: give --policy FILE, or --cluster to take those of the cluster")
	}
	return options, texts, err
}

// read reads the files, and collects the policies in them.
func (i *injection) read(command *cobra.Command, namespace string, policies *[]v1alpha1.AgentAuthPolicy) ([][]byte, error) {
	var texts [][]byte
	for n, name := range append(append([]string{}, i.files...), i.policies...) {
		flag := "-f"
		if n >= len(i.files) {
			flag = "--policy"
		}
		text, err := readInput(command, name)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", flag, name, err)
		}
		found, err := podfile.Policies(text, namespace)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", flag, name, err)
		}
		if flag == "--policy" && len(found) == 0 {
			return nil, fmt.Errorf("--policy %s: there is no AgentAuthPolicy in it", name)
		}
		if flag == "-f" {
			texts = append(texts, text)
		}
		if !i.cluster {
			*policies = append(*policies, found...)
		}
	}
	return texts, nil
}

// readInput reads a file, or stdin for a hyphen.
func readInput(command *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(command.InOrStdin())
	}
	return os.ReadFile(name)
}

// ask takes the policies of the cluster: those of the namespace that is given,
// or of the kubeconfig's context, which is then that of objects without one.
func (i *injection) ask(command *cobra.Command, options *podfile.Options) error {
	cluster, err := i.where.Connect()
	if err != nil {
		return err
	}
	var list v1alpha1.AgentAuthPolicyList
	if err := cluster.List(command.Context(), &list, "listing AgentAuthPolicies"); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return fmt.Errorf("there is no AgentAuthPolicy in namespace %s: give the namespace with -n", cluster.Namespace)
	}
	options.Namespace, options.Policies = cluster.Namespace, list.Items
	return nil
}

// report says what became of each pod.
func report(out io.Writer, outcomes []podfile.Outcome, policies []v1alpha1.AgentAuthPolicy) error {
	terminal := output.Detect(out)
	if len(outcomes) == 0 {
		_, err := io.WriteString(out, output.Sentence(output.Cell{Text: "There is no pod in the manifests.", Tone: output.Notice}, "", terminal))
		return err
	}
	var text strings.Builder
	for _, o := range outcomes {
		name := fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name)
		cell := output.Cell{Text: name + ": not guarded: " + unguarded(o.Namespace, policies), Tone: output.Notice}
		if o.Policy != "" {
			ports := strings.Trim(fmt.Sprint(o.Ports), "[]")
			cell = output.Cell{Text: fmt.Sprintf("%s: guarded by AgentAuthPolicy %s at ports %s", name, o.Policy, ports)}
		}
		text.WriteString(output.Sentence(cell, "", terminal))
		for _, change := range o.Changes {
			text.WriteString(output.Sentence(output.Cell{Text: change}, "  ", terminal))
		}
		for _, warning := range o.Warnings {
			text.WriteString(output.Sentence(output.Cell{Text: "warning: " + string(warning), Tone: output.Notice}, "", terminal))
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// unguarded says why nobody guards the pods of a namespace: often because the
// policy's file names none.
func unguarded(namespace string, policies []v1alpha1.AgentAuthPolicy) string {
	var elsewhere []string
	for i := range policies {
		if policies[i].Namespace == namespace {
			return "no policy selects its pods, or they decline"
		}
		elsewhere = append(elsewhere, policies[i].Namespace+"/"+policies[i].Name)
	}
	return fmt.Sprintf("no policy is in namespace %s: there are %s; -n %s is for those that name none", namespace, strings.Join(elsewhere, ", "), namespace)
}
