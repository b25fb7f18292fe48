package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// revokeFlags are those of `keys revoke`.
type revokeFlags struct {
	where   kube.Flags
	format  output.Format
	yes     bool
	wait    bool
	timeout time.Duration
}

// revoked is what `keys revoke` says to machines.
type revoked struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	KeyID     string     `json:"keyID"`
	Stage     keys.Stage `json:"stage"`
	// Revocation is what the status says of it.
	Revocation *v1alpha1.RevocationStatus `json:"revocation,omitempty"`
	Why        string                     `json:"why,omitempty"`
	Seconds    float64                    `json:"seconds"`
}

func revokeCommand(now func() time.Time) *cobra.Command {
	var flags revokeFlags
	command := &cobra.Command{
		Use:   "revoke NAME KEY-ID",
		Short: "Refuse every token of a key, at once and for ever",
		Long: `Revoke a key of a SigningKey: it goes out of every bundle at once, and is
remembered, so that no backup brings it back. When it is the key that signs, its
users are locked out until the signers have the next one.

It is done when every guarded pod has proved that it refuses the key; the time
until then is shown. Exit code 1 says that some pod may still accept the key.`,
		Example: `  gatepost keys revoke agent-tokens 2-k3u7zq5w4d -n agents`,
		Args:    arguments(2, 2),
		ValidArgsFunction: func(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completeKeyIDs(command, &flags.where, args, begun)
		},
		RunE: func(command *cobra.Command, args []string) error {
			return flags.run(command, args[0], args[1], now)
		},
	}
	flags.where.Add(command)
	flags.format.Flag(command)
	command.Flags().BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	command.Flags().BoolVar(&flags.wait, "wait", true, "wait until every guarded pod refuses the key")
	command.Flags().DurationVar(&flags.timeout, "timeout", 2*time.Minute, "how long to wait; 0: until it is done")
	return command
}

func (f *revokeFlags) run(command *cobra.Command, name, kid string, now func() time.Time) error {
	cluster, err := f.where.Connect()
	if err != nil {
		return err
	}
	key, err := signingKey(command, cluster, name)
	if err != nil {
		return err
	}
	if err := keys.MayRevoke(key, kid); err != nil {
		return err
	}
	if !keys.IsRevoked(key, kid) {
		if err := f.confirm(command, key, kid); err != nil {
			return err
		}
		if err := annotate(command, cluster, key, v1alpha1.AnnotationRevokeKey, kid); err != nil {
			return err
		}
	}
	began := now()
	sight := keys.Sight{Stage: keys.Asked, Why: "the controller takes it from here"}
	result := revoked{Namespace: key.Namespace, Name: key.Name, KeyID: kid}
	if f.wait {
		fetch := fetcher(cluster, name)
		revocation := keys.FollowRevocation(kid, began)
		sight, err = keys.Watcher{
			Fetch: fetch, Fatal: kube.IsFinal, Progress: output.ProgressOf(command), Now: now, Timeout: f.timeout,
			See: func(key *v1alpha1.SigningKey, at time.Time) keys.Sight {
				if last := key.Status.LastRevocation; last != nil && last.KID == kid {
					result.Revocation = last
				}
				return revocation.See(key, at)
			},
			Until: func(stage keys.Stage) bool { return stage == keys.Done },
		}.Watch(command.Context())
	}
	if err != nil && !errors.Is(err, keys.ErrTimeout) {
		return err
	}
	result.Stage, result.Why = sight.Stage, sight.Why
	result.Seconds = now().Sub(began).Round(100 * time.Millisecond).Seconds()
	return f.tell(command, result, err)
}

// confirm asks the person at the terminal.
func (f *revokeFlags) confirm(command *cobra.Command, key *v1alpha1.SigningKey, kid string) error {
	if f.yes {
		return nil
	}
	asks := command.ErrOrStderr()
	if !output.CanAsk(command.InOrStdin(), asks) {
		return errors.New("nobody is there to be asked: give --yes to revoke a key without a terminal")
	}
	terminal := output.Detect(asks)
	for _, line := range keys.Consequences(key, kid) {
		_, _ = io.WriteString(asks, output.Sentence(line, "", terminal)) // a terminal that is gone cannot say yes
	}
	_, _ = fmt.Fprintf(asks, "Revoke key %s of SigningKey %s/%s? Type yes: ", kid, key.Namespace, key.Name)
	answer, err := bufio.NewReader(command.InOrStdin()).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("not revoked")
	}
	return nil
}

// tell prints the result; a key that some pod may accept is exit code 1.
func (f *revokeFlags) tell(command *cobra.Command, result revoked, timeout error) error {
	name := fmt.Sprintf("SigningKey %s/%s: key %s", result.Namespace, result.Name, result.KeyID)
	cell := output.Cell{}
	switch {
	case result.Stage == keys.Stalled, timeout != nil:
		cell = output.Cell{Tone: output.Bad, Text: name + ": some pod may still accept it: " + result.Why}
	case result.Stage == keys.Done && result.Revocation != nil:
		cell = output.Cell{Tone: output.Good, Text: fmt.Sprintf("%s is revoked; every guarded pod refuses it, the last one %s later", name, keys.Took(result.Revocation))}
	case result.Stage == keys.Done:
		cell.Text = name + " is revoked"
	default:
		cell.Text = fmt.Sprintf("%s: the revocation is asked for; gatepost keys status %s -n %s shows it", name, result.Name, result.Namespace)
	}
	if err := output.To(command, f.format).Print(result, output.Table{Title: cell}); err != nil {
		return err
	}
	if result.Stage == keys.Stalled || timeout != nil {
		return errUnexpected
	}
	return nil
}

func confirmCommand() *cobra.Command {
	var where kube.Flags
	command := &cobra.Command{
		Use:   "confirm-signer NAME [KEY-ID]",
		Short: "Say that every signer outside uses the new key",
		Long: `Say that every external signer is known to use the key that is active now, so
that the old one goes when its last token has died. Silence alone is no proof:
without this, an old key stays until tokens of the new one are seen and none of
the old one are.`,
		Example: `  gatepost keys confirm-signer agent-tokens -n agents`,
		Args:    arguments(1, 2),
		ValidArgsFunction: func(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completeKeyIDs(command, &where, args, begun)
		},
		RunE: func(command *cobra.Command, args []string) error {
			cluster, err := where.Connect()
			if err != nil {
				return err
			}
			key, err := signingKey(command, cluster, args[0])
			if err != nil {
				return err
			}
			kid := cmp.Or(append(args[1:], key.Status.ActiveKeyID)...)
			if err := keys.MayConfirm(key, kid); err != nil {
				return fmt.Errorf("SigningKey %s/%s: %w", key.Namespace, key.Name, err)
			}
			if err := annotate(command, cluster, key, v1alpha1.AnnotationConfirmSigner, kid); err != nil {
				return err
			}
			return output.To(command, output.Text).Print(nil, output.Table{Title: output.Cell{Text: fmt.Sprintf(
				"SigningKey %s/%s: every signer is known to use key %s; the keys before it go when their last tokens have died", key.Namespace, key.Name, kid)}})
		},
	}
	where.Add(command)
	return command
}

// completeKeyIDs completes the name of a SigningKey, then the id of a key of it.
func completeKeyIDs(command *cobra.Command, where *kube.Flags, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return where.Names(&v1alpha1.SigningKeyList{})(command, args, begun)
	}
	cluster, err := where.Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var key v1alpha1.SigningKey
	if cluster.Get(command.Context(), args[0], &key, "fetching a SigningKey") != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var kids []cobra.Completion
	for _, live := range key.Status.Keys {
		if strings.HasPrefix(live.KID, begun) {
			kids = append(kids, cobra.CompletionWithDesc(live.KID, live.Phase))
		}
	}
	return kids, cobra.ShellCompDirectiveNoFileComp
}
