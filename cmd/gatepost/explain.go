package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// explaining holds the flags of `gatepost explain`.
type explaining struct {
	offline offline
	admin   string
	pods    []string
	where   kube.Flags
	last    int
	method  string
	path    string
	headers []string
	at      string
	format  output.Format
}

func explainCommand(now func() time.Time) *cobra.Command {
	var e explaining
	command := &cobra.Command{
		Use:   "explain [DECISION-ID | TOKEN | -]",
		Short: "Say why a request was refused, and what to do",
		Long: `Say why a request was refused: which check failed, by which provider, key or
rule, and what to do next.

A decision id is the value of X-Gatepost-Decision in an answer. It is asked for at
the admin port of --admin, or of the guarded pods of the namespace in the current
cluster (-n, --pod). A sidecar remembers its latest 1,024 denials; --last N shows
those without an id.

A token (or an API key, on stdin) is judged here, by --policy and --keys, with the
code of the sidecar; nothing is sent. With --method, --path and --header the rules
are asked as well.`,
		Example: `  gatepost explain k3v7q2mzp4rt6wxa -n agents
  gatepost explain --last 5 --admin http://127.0.0.1:19901
  gatepost explain - --policy policy.yaml --keys keys --method POST --path /agents/a1/runs < token`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return e.run(command, args, now)
		},
	}
	e.offline.flags(command)
	e.where.Add(command)
	flags := command.Flags()
	flags.StringVar(&e.admin, "admin", "", "`URL` of an admin port, such as http://127.0.0.1:19901")
	flags.StringArrayVar(&e.pods, "pod", nil, "`name` of a guarded pod to ask; repeat it for several (default all of the namespace)")
	flags.IntVar(&e.last, "last", 0, "explain the latest `N` denials")
	flags.StringVar(&e.method, "method", "", "`method` of the request (default GET, where --path is given)")
	flags.StringVar(&e.path, "path", "", "`target` of the request, as it is sent: path and query (default /, where --method is given)")
	flags.StringArrayVarP(&e.headers, "header", "H", nil, "further `header` of the request, \"Name: value\"; repeat it for several")
	flags.StringVar(&e.at, "at", "", "judge at this `time` (2027-03-01T12:00:00Z) instead of now")
	e.format.Flag(command)
	e.where.FlagNames(command, "pod", &corev1.PodList{})
	return command
}

func (e *explaining) run(command *cobra.Command, args []string, now func() time.Time) error {
	to := output.To(command, e.format)
	if e.isAsked(args) {
		if len(args) == 1 && e.last > 0 {
			return errors.New("--last is for want of a decision id: leave one of them out")
		}
		id := strings.Join(args, "")
		found, err := e.ask(command.Context(), id)
		if err != nil {
			return err
		}
		return show(to, found, id == "", now())
	}
	text, err := credentialOf(command, args)
	if err != nil {
		return err
	}
	if explain.IsID(text) {
		return errors.New("this is a decision id: give it as the argument")
	}
	if e.offline.policy == "" {
		return errors.New("--policy is missing: name the file with the policy, and with --keys the directory of its keys; only a decision id is asked for elsewhere")
	}
	at, err := e.time(now())
	if err != nil {
		return err
	}
	one, err := e.judge(command.Context(), text, at)
	if err != nil {
		return err
	}
	return show(to, []explain.Explanation{one}, false, at)
}

// isAsked reports whether somebody else knows: it is about a decision, not about
// a credential.
func (e *explaining) isAsked(args []string) bool {
	return e.last > 0 || len(args) == 1 && explain.IsID(args[0])
}

// ask asks the admin port, or the pods, for a decision or for the latest.
func (e *explaining) ask(ctx context.Context, id string) ([]explain.Explanation, error) {
	var found []explain.Explanation
	var err error
	if e.admin != "" {
		found, err = explain.Ask(ctx, e.admin, id)
	} else {
		found, err = e.askPods(ctx, id)
	}
	if err != nil || id != "" {
		return found, err
	}
	return explain.Latest(found, e.last), nil
}

// askPods asks guarded pods of the cluster. One that cannot be asked matters
// only where no other knows.
func (e *explaining) askPods(ctx context.Context, id string) ([]explain.Explanation, error) {
	cluster, err := e.where.Connect()
	if err != nil {
		return nil, err
	}
	pods, err := cluster.Guarded(ctx, "", e.pods...)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, errors.New("no pod of the namespace is guarded: name another with -n, or an admin port with --admin")
	}
	var found []explain.Explanation
	var errs []error
	for _, answer := range cluster.Ask(ctx, pods, explain.Path(id)) {
		list, err := []explain.Explanation(nil), answer.Err
		if err == nil {
			list, err = explain.Answered(answer.Status, answer.Body, id)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("pod %s: %w", answer.Pod, err))
		}
		for _, one := range list {
			one.Pod = answer.Pod
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// judge judges a credential here.
func (e *explaining) judge(ctx context.Context, text string, at time.Time) (explain.Explanation, error) {
	snapshot, done, err := e.offline.load(at)
	if err != nil {
		return explain.Explanation{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if e.method == "" && e.path == "" && len(e.headers) == 0 {
		return explain.Credential(ctx, snapshot, text, at), nil
	}
	request := explain.Request{Method: e.method, Target: e.path, Header: http.Header{}}
	if request.Method == "" {
		request.Method = http.MethodGet
	}
	if request.Target == "" {
		request.Target = "/"
	}
	for _, header := range e.headers {
		name, value, ok := strings.Cut(header, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return explain.Explanation{}, fmt.Errorf("--header %q: write it like \"X-Tenant-ID: t1\"", header)
		}
		request.Header.Add(name, strings.Trim(value, " \t"))
	}
	return explain.Requested(ctx, snapshot, text, request, at)
}

func (e *explaining) time(now time.Time) (time.Time, error) {
	if e.at == "" {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339, e.at)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at %q: write it like 2027-03-01T12:00:00Z", e.at)
	}
	return at, nil
}

// show prints explanations: one whole, several as a table.
func show(to output.Printer, found []explain.Explanation, list bool, now time.Time) error {
	switch {
	case to.Format != output.Text && list:
		return to.Value(found)
	case to.Format != output.Text:
		return to.Value(found[0])
	case list:
		return to.Print(found, explain.List(found, now))
	}
	_, err := io.WriteString(to.Out, found[0].Render(now, to.Terminal))
	return err
}
