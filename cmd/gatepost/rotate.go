package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// fieldOwner is what the cluster notes as the author of our annotations.
const fieldOwner = "gatepost"

// rotateFlags are those of `keys rotate`.
type rotateFlags struct {
	where   kube.Flags
	format  output.Format
	wait    string
	request string
	timeout time.Duration
}

// rotated is what `keys rotate` says to machines.
type rotated struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Stage     keys.Stage `json:"stage"`
	OldKeyID  string     `json:"oldKeyID,omitempty"`
	NewKeyID  string     `json:"newKeyID,omitempty"`
	Why       string     `json:"why,omitempty"`
	Seconds   float64    `json:"seconds"`
}

func rotateCommand(now func() time.Time) *cobra.Command {
	var flags rotateFlags
	command := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace the key of a SigningKey, without refusing a token",
		Long: `Ask for a rotation: a new key goes to all verifiers, then the signers use it,
and the old one is accepted until its last tokens have died. The waits of the
SigningKey's spec hold; nothing is forced. A rotation that is under way is joined,
not begun twice.

--wait shows the rotation until it is done, --wait=active until the new key signs.
Exit code 1 says that it does not go on by itself, and the text who lags and what
to do; ask again to go on watching.

With --request the same text begins one rotation, however often it is given.`,
		Example: `  gatepost keys rotate agent-tokens -n agents --wait=active
  gatepost keys rotate agent-tokens --request release-42`,
		Args:              arguments(1, 1),
		ValidArgsFunction: flags.where.Names(&v1alpha1.SigningKeyList{}),
		RunE: func(command *cobra.Command, args []string) error {
			return flags.run(command, args[0], now)
		},
	}
	flags.where.Add(command)
	flags.format.Flag(command)
	command.Flags().StringVar(&flags.wait, "wait", "", "watch until the rotation is `done`, or active: until the new key signs")
	command.Flags().Lookup("wait").NoOptDefVal = "done"
	_ = command.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]cobra.Completion{"active", "done"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	command.Flags().StringVar(&flags.request, "request", "", "a `name` for this request; default: the time")
	command.Flags().DurationVar(&flags.timeout, "timeout", 0, "how long to watch; default: as long as it goes on")
	return command
}

func (f *rotateFlags) run(command *cobra.Command, name string, now func() time.Time) error {
	if f.wait != "" && f.wait != "active" && f.wait != "done" {
		return fmt.Errorf("--wait=%s: write --wait, --wait=done or --wait=active", f.wait)
	}
	cluster, err := f.where.Connect()
	if err != nil {
		return err
	}
	key, err := signingKey(command, cluster, name)
	if err != nil {
		return err
	}
	if err := keys.MayRotate(key); err != nil {
		return fmt.Errorf("rotating SigningKey %s/%s: %w", key.Namespace, key.Name, err)
	}
	began := now()
	rotation := keys.Follow(key, began)
	sight, err := f.ask(command, cluster, key, began)
	if err == nil && f.wait != "" && sight.Stage != keys.Done {
		sight, err = keys.Watcher{
			Fetch: fetcher(cluster, name), Fatal: kube.IsFinal, See: rotation.See, Until: f.reached,
			Progress: output.ProgressOf(command), Now: now, Timeout: f.timeout,
		}.Watch(command.Context())
	}
	if err != nil && !errors.Is(err, keys.ErrTimeout) {
		return err
	}
	return f.tell(command, rotated{
		Namespace: key.Namespace, Name: key.Name, Stage: sight.Stage, OldKeyID: rotation.Old(), NewKeyID: rotation.New(),
		Why: sight.Why, Seconds: now().Sub(began).Round(100 * time.Millisecond).Seconds(),
	}, err)
}

// ask writes the request, unless it would ask for what is under way or was
// carried out already.
func (f *rotateFlags) ask(command *cobra.Command, cluster *kube.Cluster, key *v1alpha1.SigningKey, at time.Time) (keys.Sight, error) {
	joins := keys.Joins(key)
	switch before := key.Annotations[v1alpha1.AnnotationRotateNow]; {
	case joins && f.request == "":
		return keys.Sight{Stage: keys.Spreading, Why: "a rotation is under way already"}, nil
	case f.request != "" && before == f.request && !joins:
		return keys.Sight{Stage: keys.Done, Why: "this request was made before, and is carried out once"}, nil
	}
	value := cmp.Or(f.request, at.UTC().Format(time.RFC3339Nano))
	err := annotate(command, cluster, key, v1alpha1.AnnotationRotateNow, value)
	return keys.Sight{Stage: keys.Asked, Why: "the controller takes it from here"}, err
}

// reached reports whether what --wait waits for is there.
func (f *rotateFlags) reached(stage keys.Stage) bool {
	return stage == keys.Done || f.wait == "active" && stage == keys.Signing
}

// tell prints the result; a rotation that stalled, or took too long, is exit code 1.
func (f *rotateFlags) tell(command *cobra.Command, result rotated, timeout error) error {
	name := fmt.Sprintf("SigningKey %s/%s", result.Namespace, result.Name)
	took := time.Duration(result.Seconds * float64(time.Second)).Round(time.Second)
	cell := output.Cell{}
	switch {
	case result.Stage == keys.Stalled:
		cell = output.Cell{Tone: output.Bad, Text: fmt.Sprintf("%s: the rotation does not go on: %s", name, result.Why)}
	case timeout != nil:
		cell = output.Cell{Tone: output.Bad, Text: fmt.Sprintf("%s: the rotation goes on, and is not there within --timeout %s: %s", name, f.timeout, result.Why)}
	case result.NewKeyID == "" && result.Stage == keys.Done:
		cell.Text = fmt.Sprintf("%s: %s", name, result.Why)
	case result.Stage == keys.Done:
		cell = output.Cell{Tone: output.Good, Text: fmt.Sprintf("%s: rotated from %s to %s in %s", name, cmp.Or(result.OldKeyID, "no key"), result.NewKeyID, took)}
	case result.Stage == keys.Signing:
		cell = output.Cell{Tone: output.Good, Text: fmt.Sprintf("%s: %s signs, %s after the request; %s is accepted until its last tokens have died", name, result.NewKeyID, took, result.OldKeyID)}
	case result.Stage == keys.Spreading:
		cell.Text = fmt.Sprintf("%s: %s, to key %s", name, result.Why, result.NewKeyID)
	default:
		cell.Text = fmt.Sprintf("%s: a rotation is asked for; gatepost keys status %s -n %s shows it", name, result.Name, result.Namespace)
	}
	if err := output.To(command, f.format).Print(result, output.Table{Title: cell}); err != nil {
		return err
	}
	if result.Stage == keys.Stalled || timeout != nil {
		return errUnexpected
	}
	return nil
}

// annotate sets one annotation of the SigningKey that was seen, and nothing else.
func annotate(command *cobra.Command, cluster *kube.Cluster, key *v1alpha1.SigningKey, name, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": key.UID, "annotations": map[string]string{name: value},
	}})
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("setting the annotation %s of SigningKey %s/%s", name, key.Namespace, key.Name)
	return cluster.Explain(doing, cluster.Client.Patch(command.Context(), key.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldOwner)))
}

// fetcher fetches one SigningKey again and again.
func fetcher(cluster *kube.Cluster, name string) func(context.Context) (*v1alpha1.SigningKey, error) {
	return func(ctx context.Context) (*v1alpha1.SigningKey, error) {
		var key v1alpha1.SigningKey
		err := cluster.Get(ctx, name, &key, fmt.Sprintf("fetching SigningKey %s/%s", cluster.Namespace, name))
		return &key, err
	}
}

// nameInto collects the names of objects.
func nameInto(names *[]string) func(runtime.Object) error {
	return func(object runtime.Object) error {
		named, err := meta.Accessor(object)
		if err == nil {
			*names = append(*names, named.GetName())
		}
		return err
	}
}
