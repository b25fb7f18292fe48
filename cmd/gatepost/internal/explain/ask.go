package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// idForm is a decision id as answers carry it in X-Gatepost-Decision.
var idForm = regexp.MustCompile(`^[a-z2-7]{16}$`)

// IsID reports whether a text has the form of a decision id.
func IsID(text string) bool { return idForm.MatchString(text) }

// Path is what an admin port is asked for: one decision, or the latest when id
// is empty.
func Path(id string) string {
	if id == "" {
		return "/decisions"
	}
	return "/decisions?id=" + url.QueryEscape(id)
}

// maxAnswer bounds what is read of an admin port's answer, in bytes: 1,024
// denials of at most a few hundred bytes each.
const maxAnswer = 4 << 20

// ErrForgotten says that nobody who was asked remembers the decision.
var ErrForgotten = errors.New("is not among the latest 1,024 denials of this process: they are forgotten when it restarts, " +
	"and requests that were let through are not kept; look for decision_id in the log")

// Ask asks the admin port at base, such as http://127.0.0.1:19901 or host:port, for one
// decision, or for the latest when id is empty. The error wraps ErrForgotten
// when it does not know the decision.
func Ask(ctx context.Context, base, id string) ([]Explanation, error) {
	address := base
	if _, _, err := net.SplitHostPort(base); err == nil && !strings.Contains(base, "/") {
		address = "http://" + base
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--admin %q is no address: write it like http://127.0.0.1:19901", base)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.String(), "/")+Path(id), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--admin %q: %w", base, err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("--admin: asking: %w: is it running, and is this its admin port?", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("--admin: reading the answer: %w", err)
	}
	return Answered(res.StatusCode, body, id)
}

// Answered reads what an admin port answered on Path(id).
func Answered(status int, body []byte, id string) ([]Explanation, error) {
	switch {
	case status == http.StatusNotFound && id != "" && strings.Contains(string(body), "not among"):
		return nil, fmt.Errorf("decision %s %w", id, ErrForgotten)
	case status != http.StatusOK:
		return nil, fmt.Errorf("the admin port answered %d: ask from the machine or pod itself, on its loopback address, at the port of --admin", status)
	case id == "":
		return ParseDenials(body)
	}
	one, err := ParseDenial(body)
	if err != nil {
		return nil, err
	}
	return []Explanation{one}, nil
}

// PodAnswer is what the admin port of one pod answered on Path(id).
type PodAnswer struct {
	Pod    string
	Status int
	Body   []byte
	// Err says why there is no answer.
	Err error
}

// OfPods reads what several pods answered. Which of them made a decision is not
// known before, so that one that cannot be asked matters only where no other
// knows it. Of the latest denials of all, none are left out in silence.
func OfPods(answers []PodAnswer, id string) ([]Explanation, error) {
	found := []Explanation{}
	var errs, forgotten []error
	for _, answer := range answers {
		list, err := []Explanation(nil), answer.Err
		if err == nil {
			list, err = Answered(answer.Status, answer.Body, id)
		}
		switch {
		case errors.Is(err, ErrForgotten):
			forgotten = append(forgotten, err)
		case err != nil:
			errs = append(errs, fmt.Errorf("pod %s: %w", answer.Pod, err))
		}
		for _, one := range list {
			one.Pod = answer.Pod
			found = append(found, one)
		}
	}
	switch {
	case len(found) > 0 && (id != "" || len(errs) == 0), len(errs)+len(forgotten) == 0:
		return found, nil
	case len(errs) == 0:
		return nil, fmt.Errorf("no pod remembers it: %w", forgotten[0])
	}
	return nil, errors.Join(errs...)
}

// denial is a member of what /decisions answers.
type denial struct {
	ID       string        `json:"id"`
	Time     time.Time     `json:"time"`
	Decision string        `json:"decision"`
	Reason   policy.Reason `json:"reason"`
	Rule     string        `json:"rule"`
	Policy   string        `json:"policy"`
	Provider string        `json:"provider"`
	KID      string        `json:"kid"`
	Claim    string        `json:"claim"`
	Client   string        `json:"client"`
	Method   string        `json:"method"`
	Path     string        `json:"path"`
	Status   int           `json:"status"`
	Subject  string        `json:"subject_hash"`
}

// ParseDenial reads one denial as /decisions?id= answers it.
func ParseDenial(data []byte) (Explanation, error) {
	var one denial
	if err := json.Unmarshal(data, &one); err != nil || one.Reason == "" {
		return Explanation{}, errors.New("the answer is no decision: is this the admin port of a sidecar?")
	}
	return one.explain(), nil
}

// ParseDenials reads the latest denials as /decisions answers them, the latest
// first.
func ParseDenials(data []byte) ([]Explanation, error) {
	var all struct {
		Decisions []denial `json:"decisions"`
	}
	if err := json.Unmarshal(data, &all); err != nil || all.Decisions == nil {
		return nil, errors.New("the answer is no list of decisions: is this the admin port of a sidecar?")
	}
	list := make([]Explanation, 0, len(all.Decisions))
	for i := range all.Decisions {
		list = append(list, all.Decisions[i].explain())
	}
	return list, nil
}

func (d *denial) explain() Explanation {
	made := of(d.Reason)
	made.ID, made.Decision, made.Rule, made.Policy, made.Provider = d.ID, d.Decision, d.Rule, d.Policy, d.Provider
	made.KID, made.Claim, made.Client, made.Subject = d.KID, d.Claim, d.Client, d.Subject
	made.Method, made.Path, made.Status = d.Method, d.Path, d.Status
	if !d.Time.IsZero() {
		made.Time = &d.Time
	}
	if !slices.Contains(policy.Reasons(), d.Reason) {
		made.Notes = append(made.Notes, "this gatepost does not know the reason: use one of the sidecar's release")
	}
	if isOfToken(d.Reason) {
		made.Checks = checks(d.Reason, true)
	}
	made.Here = d.here()
	return made
}

// isOfToken reports whether the reason says something of a token.
func isOfToken(reason policy.Reason) bool {
	for _, rung := range ladder {
		if rung.name != "rules" && rung.name != "carrier" && slices.Contains(rung.reasons, reason) {
			return true
		}
	}
	return false
}

// here is what the sidecar remembers beyond the reason. It keeps no value of a
// token: those can be seen where the token is.
func (d *denial) here() string {
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	switch {
	case d.Rule != "" && d.Reason == policy.InsufficientScope:
		add("the rule %s fits but for its scopes", d.Rule)
	case d.Rule != "":
		add("by the rule %s", d.Rule)
	case d.Reason == policy.RuleDenied:
		parts = append(parts, "no rule matches, and the default is to deny")
	}
	add("the claim is %s", d.Claim)
	add("provider %s got furthest", d.Provider)
	add("the signature is by key %s", d.KID)
	add("the client is %s", d.Client)
	return strings.Join(parts, "; ")
}
