package explain_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/policy"
)

// adminPort answers as a sidecar does that remembers one denial.
func adminPort(t *testing.T) string {
	t.Helper()
	one := `{"id":"k3v7q2mzp4rt6wxa","time":"2026-11-22T12:00:00Z","decision":"deny","reason":"claim_invalid","policy":"chat","provider":"backend","kid":"current","claim":"sub","method":"GET","path":"/x","status":401}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch id := r.URL.Query().Get("id"); {
		case r.URL.Path != "/decisions":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case id == "":
			_, _ = w.Write([]byte(`{"decisions":[` + one + `]}`))
		case id == "k3v7q2mzp4rt6wxa":
			_, _ = w.Write([]byte(one))
		case id == "a222222222222222":
			http.Error(w, "ask as localhost", http.StatusForbidden)
		case id == "b222222222222222":
			_, _ = w.Write([]byte(`<html>`))
		default:
			http.Error(w, "not among the latest 1024 denials of this sidecar", http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAskingAnAdminPort(t *testing.T) {
	t.Parallel()
	base := adminPort(t)
	now := time.Date(2026, 11, 22, 12, 0, 9, 0, time.UTC)
	for _, id := range []string{"k3v7q2mzp4rt6wxa", ""} {
		found, err := explain.Ask(t.Context(), base, id)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		text := found[0].Render(now, output.Terminal{})
		for _, want := range []string{
			"deny: claim_invalid\n", "id           k3v7q2mzp4rt6wxa\n", "when         2026-11-22T12:00:00Z, 9s ago\n", "request      GET /x\n",
			"failed       claims\n", "Here: the claim is sub; provider backend got furthest; the signature is by key current.\n", "\nDo: ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in:\n%s", want, text)
			}
		}
	}
	for sentence, test := range map[string]struct{ base, id, want string }{
		"a decision that is forgotten":   {base, "c222222222222222", "is not among the latest 1,024 denials"},
		"a port that tells only its own": {base, "a222222222222222", "the admin port answered 403"},
		"a port that is none":            {base, "b222222222222222", "is no decision"},
		"an answer that leads elsewhere": {base + "/elsewhere", "k3v7q2mzp4rt6wxa", "the admin port answered 302"},
		"no URL":                         {"localhost", "k3v7q2mzp4rt6wxa", "write it like http://127.0.0.1:19901"},
		"no URL, with a port":            {strings.TrimPrefix(base, "http://"), "c222222222222222", "is not among the latest"},
		"another scheme":                 {"file:///etc", "k3v7q2mzp4rt6wxa", "write it like"},
	} {
		if _, err := explain.Ask(t.Context(), test.base, test.id); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", sentence, err, test.want)
		}
	}
	if _, err := explain.Ask(t.Context(), base, "c222222222222222"); !errors.Is(err, explain.ErrForgotten) {
		t.Errorf("%v is not ErrForgotten", err)
	}
}

func TestSeveralPodsAreAsked(t *testing.T) {
	t.Parallel()
	const id = "k3v7q2mzp4rt6wxa"
	knows := explain.PodAnswer{Pod: "a", Status: 200, Body: []byte(`{"id":"` + id + `","reason":"expired"}`)}
	none := explain.PodAnswer{Pod: "b", Status: 404, Body: []byte("not among the latest 1024 denials of this sidecar")}
	mute := explain.PodAnswer{Pod: "c", Err: errors.New("it is gone")}
	list := explain.PodAnswer{Pod: "d", Status: 200, Body: []byte(`{"decisions":[{"id":"` + id + `","reason":"expired"}]}`)}
	empty := explain.PodAnswer{Pod: "e", Status: 200, Body: []byte(`{"decisions":[]}`)}
	for sentence, test := range map[string]struct {
		answers []explain.PodAnswer
		id      string
		pod     string // of the one found
		wrong   string
	}{
		"one of them knows":               {[]explain.PodAnswer{none, knows, mute}, id, "a", ""},
		"none knows":                      {[]explain.PodAnswer{none, none}, id, "", "no pod remembers it: decision " + id},
		"who might know cannot be asked":  {[]explain.PodAnswer{none, mute}, id, "", "pod c: it is gone"},
		"the latest of all":               {[]explain.PodAnswer{empty, list}, "", "d", ""},
		"the latest of all but one":       {[]explain.PodAnswer{mute, list}, "", "", "pod c: it is gone"},
		"nobody was refused":              {[]explain.PodAnswer{empty}, "", "", ""},
		"an answer that is no decision":   {[]explain.PodAnswer{{Pod: "f", Status: 200, Body: []byte("hello")}}, id, "", "pod f: the answer is no decision"},
		"a port that tells its own alone": {[]explain.PodAnswer{{Pod: "g", Status: 403}}, id, "", "pod g: the admin port answered 403"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			found, err := explain.OfPods(test.answers, test.id)
			if (err != nil) != (test.wrong != "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Fatalf("%v, want %q", err, test.wrong)
			}
			if (len(found) > 0) != (test.pod != "") || len(found) > 0 && found[0].Pod != test.pod {
				t.Errorf("found %+v, want one of %q", found, test.pod)
			}
		})
	}
}

func TestTheLatestComeFirst(t *testing.T) {
	t.Parallel()
	at := func(second int) explain.Explanation {
		when := time.Date(2026, 11, 22, 12, 0, second, 0, time.UTC)
		return explain.Explanation{Time: &when}
	}
	got := explain.Latest([]explain.Explanation{at(1), at(9), {}, at(5)}, 2)
	if len(got) != 2 || got[0].Time.Second() != 9 || got[1].Time.Second() != 5 {
		t.Errorf("got %+v", got)
	}
	if got := explain.Latest(nil, 5); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"k3v7q2mzp4rt6wxa": true, "K3V7Q2MZP4RT6WXA": false, "k3v7q2mzp4rt6wx": false, "a.b.c": false, "": false, "k3v7q2mzp4rt6wx1": false} {
		if explain.IsID(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// FuzzParseDenial: whatever an admin port answers, what is shown of it does not
// move the cursor, and a reason is explained or said to be unknown.
func FuzzParseDenial(f *testing.F) {
	f.Add([]byte(`{"id":"x","reason":"expired","path":"/\u001b[2J","time":"2026-11-22T12:00:00Z","status":401}`))
	f.Add([]byte(`{"reason":"no_such_reason","rule":"a\u202eb"}`))
	f.Add([]byte(`{"decisions":[{"reason":"rule_denied"},{}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := explain.ParseDenials(data)
		if one, wrong := explain.ParseDenial(data); wrong == nil {
			found = append(found, one)
		} else if err != nil {
			return
		}
		now := time.Unix(1795348800, 0)
		table := explain.List(found, now)
		texts := []string{table.Render(output.Terminal{})}
		for i := range found {
			if found[i].Means == "" && len(found[i].Notes) == 0 && found[i].Reason != "" {
				t.Errorf("nothing is said of %q", found[i].Reason)
			}
			texts = append(texts, found[i].Render(now, output.Terminal{}))
		}
		if strings.ContainsAny(strings.Join(texts, ""), "\x1b\r\u202e\u009b") {
			t.Errorf("a control character came through: %q", texts)
		}
		if _, err := json.Marshal(found); err != nil && !strings.Contains(err.Error(), "year") {
			t.Error(err)
		}
	})
}

func TestEveryReasonOfATokenHasItsCheck(t *testing.T) {
	t.Parallel()
	elsewhere := []policy.Reason{
		policy.OK, policy.Exempt, policy.MissingCredential, policy.AmbiguousCredentials, policy.TokenTooLarge, policy.APIKeyInvalid, policy.APIKeyExpired,
		policy.InsufficientScope, policy.RuleDenied, policy.ToolDenied, policy.OriginDenied, policy.BadRequest, policy.MethodNotAllowed,
		policy.RequestTooLarge, policy.RateLimited,
	}
	known := map[policy.Reason]bool{}
	for _, reason := range elsewhere {
		known[reason] = true
	}
	for _, reason := range policy.Reasons() {
		one, err := explain.ParseDenial([]byte(`{"reason":"` + string(reason) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		if failed := len(one.Checks) > 0; failed == known[reason] {
			t.Errorf("%s: checks are %v", reason, one.Checks)
		}
	}
}
