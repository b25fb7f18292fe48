package main

import (
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

// fetchTime bounds how long --fetch waits for remote key sets.
const fetchTime = 15 * time.Second

// offline holds the flags of commands that judge by a policy and its keys.
type offline struct {
	policy string
	keys   string
	fetch  bool
}

func (o *offline) flags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.policy, "policy", "", "`file` with the AgentAuthPolicy")
	flags.StringVar(&o.keys, "keys", "", "`directory` of keys, DIR/name/key as the sidecar reads it, or a mounted keys.json")
	flags.BoolVar(&o.fetch, "fetch", false, "fetch remote key sets; without it, tokens of their providers are keys_unavailable")
}

// load reads policy and keys. The caller calls done when it has judged.
func (o *offline) load(now time.Time) (snapshot *bundle.Snapshot, done func(), err error) {
	from := explain.Sources{Policy: o.policy, Keys: o.keys}
	done = func() {}
	if o.fetch {
		from.Remotes = token.NewRemotes(token.RemotesConfig{})
		done = from.Remotes.Close
	}
	snapshot, err = from.Load(now)
	if err != nil {
		done()
		return nil, nil, err
	}
	return snapshot, done, nil
}
