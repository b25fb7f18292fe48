package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

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
	request string
	at      string
	format  output.Format
}

func explainCommand(now func() time.Time) *cobra.Command {
	var e explaining
	command := &cobra.Command{
		Use:   "explain [DECISION-ID... | TOKEN | -]",
		Short: "Say why a request was refused, and what to do",
		Long: `Say why a request was refused: which check failed, by which provider, key or
rule, and what to do next.

A decision id is the value of X-Gatepost-Decision in an answer. It is asked for at
the admin port of --admin, or of the guarded pods of the namespace in the current
cluster (-n, --pod). A sidecar remembers its latest 1,024 denials; --last N shows
those without an id, and several ids are explained one after the other.

A token (or an API key, on stdin) is judged here, by --policy and --keys, with the
code of the sidecar; nothing is sent. With --method, --path and --header the rules
are asked as well. --request reads a whole request with its credential, as curl -v
shows it.`,
		Example: `  gatepost explain k3v7q2mzp4rt6wxa -n agents
  gatepost explain --last 5 --admin http://127.0.0.1:19901
  gatepost explain - --policy policy.yaml --keys keys --method POST --path /agents/a1/runs < token`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 && allIDs(args) {
				return nil
			}
			return arguments(0, 1)(command, args)
		},
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
	flags.StringVar(&e.request, "request", "", "`file` with the head of a whole request, or - for stdin, in place of a credential and --method, --path, --header")
	flags.StringVar(&e.at, "at", "", "judge at this `time` (2027-03-01T12:00:00Z) instead of now")
	e.format.Flag(command)
	e.where.FlagNames(command, "pod", &corev1.PodList{})
	return command
}

func (e *explaining) run(command *cobra.Command, args []string, now func() time.Time) error {
	to := output.To(command, e.format)
	if e.last > 0 || len(args) > 0 && allIDs(args) {
		found, err := e.askAll(command.Context(), args)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return to.Print(found, explain.List(found, now()))
		}
		return show(to, found, now())
	}
	text, request, err := e.question(command, args)
	if err != nil {
		return err
	}
	if e.offline.policy == "" {
		return errors.New("--policy is missing: name the file with the policy, and with --keys the directory of its keys; only a decision id is asked for elsewhere")
	}
	at, err := e.time(now())
	if err != nil {
		return err
	}
	one, err := e.judge(command.Context(), text, request, at)
	if err != nil {
		return err
	}
	return show(to, []explain.Explanation{one}, at)
}

// question is what is to be judged: a credential, and the request that it is in;
// nil where it is judged alone.
func (e *explaining) question(command *cobra.Command, args []string) (text string, request *explain.Request, err error) {
	if e.request != "" {
		if len(args) > 0 || e.method+e.path != "" || len(e.headers) > 0 {
			return "", nil, errors.New("--request brings the whole request: leave the credential, --method, --path and --header out")
		}
		request, err = e.readRequest(command)
		return "", request, err
	}
	if len(args) == 0 && e.offline.policy == "" {
		return "", nil, errors.New("what to explain is missing: give the decision id of an answer or --last 1, with --admin URL for a sidecar without a cluster; or a token, - for stdin, with --policy and --keys")
	}
	if text, err = credentialOf(command, args); err != nil {
		return "", nil, err
	}
	if explain.IsID(text) {
		return "", nil, errors.New("this is a decision id: give it as the argument")
	}
	if e.method == "" && e.path == "" && len(e.headers) == 0 {
		return text, nil, nil
	}
	request, err = e.asked()
	return text, request, err
}

// asked is the request of --method, --path and --header.
func (e *explaining) asked() (*explain.Request, error) {
	if err := e.sendable(); err != nil {
		return nil, err
	}
	request := &explain.Request{Method: cmp.Or(e.method, http.MethodGet), Target: cmp.Or(e.path, "/"), Header: http.Header{}}
	return request, e.addHeaders(request.Header)
}

// sendable refuses a request line that is mistyped rather than meant; --request
// takes any.
func (e *explaining) sendable() error {
	known := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	switch capitals := strings.ToUpper(e.method); {
	case e.method != capitals && slices.Contains(known, capitals):
		return fmt.Errorf("--method %q: methods are written in capitals: write %s", e.method, capitals)
	case e.path != "" && e.path != "*" && !strings.Contains(e.path, "://") && !strings.HasPrefix(e.path, "/"):
		return fmt.Errorf("--path %q: it does not begin with a slash: write /%s", e.path, e.path)
	}
	return nil
}

// addHeaders adds those of --header.
func (e *explaining) addHeaders(to http.Header) error {
	for _, header := range e.headers {
		name, value, ok := strings.Cut(header, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return fmt.Errorf("--header %q: write it like \"X-Tenant-ID: t1\"", header)
		}
		to.Add(name, strings.Trim(value, " \t"))
	}
	return nil
}

// readRequest reads the file of --request.
func (e *explaining) readRequest(command *cobra.Command) (*explain.Request, error) {
	in := command.InOrStdin()
	if e.request != "-" {
		file, err := os.Open(e.request)
		if err != nil {
			return nil, fmt.Errorf("--request: %w", err)
		}
		defer file.Close()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, maxCredential))
	if err != nil {
		return nil, fmt.Errorf("--request: reading %s: %w", e.request, err)
	}
	request, err := explain.ReadRequest(string(content))
	if err != nil {
		return nil, fmt.Errorf("--request: %w", err)
	}
	return &request, nil
}

// allIDs reports whether all arguments are decision ids, so that somebody else
// knows.
func allIDs(args []string) bool {
	return !slices.ContainsFunc(args, func(arg string) bool { return !explain.IsID(arg) })
}

// askAll asks for the decisions of these ids, or for the latest ones.
func (e *explaining) askAll(ctx context.Context, ids []string) ([]explain.Explanation, error) {
	if len(ids) == 0 {
		found, err := e.ask(ctx, "")
		return explain.Latest(found, e.last), err
	}
	if e.last > 0 {
		return nil, errors.New("--last is for want of a decision id: leave one of them out")
	}
	var all []explain.Explanation
	for _, id := range ids {
		found, err := e.ask(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// ask asks the admin port, or the pods, for a decision or for the latest.
func (e *explaining) ask(ctx context.Context, id string) ([]explain.Explanation, error) {
	if e.admin != "" {
		return explain.Ask(ctx, e.admin, id)
	}
	return e.askPods(ctx, id)
}

// askPods asks guarded pods of the cluster.
func (e *explaining) askPods(ctx context.Context, id string) ([]explain.Explanation, error) {
	cluster, err := e.where.Connect()
	if err != nil {
		return nil, fmt.Errorf("%w; or ask one sidecar with --admin, such as --admin http://127.0.0.1:19901", err)
	}
	pods, err := cluster.Guarded(ctx, "", e.pods...)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, errors.New("no pod of the namespace is guarded: name another with -n, or an admin port with --admin")
	}
	var answers []explain.PodAnswer
	for _, answer := range cluster.Ask(ctx, pods, explain.Path(id)) {
		answers = append(answers, explain.PodAnswer{Pod: answer.Pod, Status: answer.Status, Body: answer.Body, Err: answer.Err})
	}
	return explain.OfPods(answers, id)
}

// judge judges a credential here, alone or in a request.
func (e *explaining) judge(ctx context.Context, text string, request *explain.Request, at time.Time) (explain.Explanation, error) {
	snapshot, done, err := e.offline.load(at)
	if err != nil {
		return explain.Explanation{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if request == nil {
		return explain.Credential(ctx, snapshot, text, at), nil
	}
	return explain.Requested(ctx, snapshot, text, *request, at)
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

// show prints explanations, one after the other.
func show(to output.Printer, found []explain.Explanation, now time.Time) error {
	switch {
	case to.Format != output.Text && len(found) == 1:
		return to.Value(found[0])
	case to.Format != output.Text:
		return to.Value(found)
	}
	texts := make([]string, len(found))
	for i := range found {
		texts[i] = found[i].Render(now, to.Terminal)
	}
	_, err := io.WriteString(to.Out, strings.Join(texts, "\n"))
	return err
}
