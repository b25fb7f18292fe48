package crossorigin

import (
	"net/http"
	"testing"

	"gatepost.dev/gatepost/policy"
)

// One origin, byte for byte, and a list that allows all lists none by name.
func TestWhoIsAllowedAndWhoIsListed(t *testing.T) {
	t.Parallel()
	named := New(&policy.CORS{AllowOrigins: []string{"https://app.example"}, AllowCredentials: true})
	all := New(&policy.CORS{AllowOrigins: []string{"*"}})
	for sentence, c := range map[string]struct {
		rules          Rules
		origins        []string
		allows, lists  bool
		allowed, creds string
	}{
		"the listed page":         {named, []string{"https://app.example"}, true, true, "https://app.example", "true"},
		"another page":            {named, []string{"https://evil.example"}, false, false, "", ""},
		"another port":            {named, []string{"https://app.example:8443"}, false, false, "", ""},
		"two origins":             {named, []string{"https://app.example", "https://app.example"}, false, false, "", ""},
		"no page":                 {named, nil, false, false, "", ""},
		"any page":                {all, []string{"https://evil.example"}, true, false, "*", ""},
		"a page that says *":      {all, []string{"*"}, true, false, "*", ""},
		"a page without origin":   {all, []string{"null"}, false, false, "", ""},
		"rules that allow no one": {Rules{}, []string{"https://app.example"}, false, false, "", ""},
	} {
		request, answer := http.Header{"Origin": c.origins}, http.Header{}
		if c.origins == nil {
			delete(request, "Origin")
		}
		_, allows := c.rules.Allows(request)
		c.rules.Mark(answer, request, c.rules.Exposed())
		if allows != c.allows || c.rules.Lists(request) != c.lists ||
			answer.Get("Access-Control-Allow-Origin") != c.allowed || answer.Get("Access-Control-Allow-Credentials") != c.creds {
			t.Errorf("%s: allowed %v, listed %v, %v", sentence, allows, c.rules.Lists(request), answer)
		}
	}
}
