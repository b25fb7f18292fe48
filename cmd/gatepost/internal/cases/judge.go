package cases

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// judge is a policy file, ready to judge requests.
type judge struct {
	engine  *policy.Policy
	spec    policy.Spec
	clients []*apikey.Client
}

func readPolicy(file string) (*judge, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	document, err := manifest.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	engine, err := policy.Compile(document.Spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if unsupported := policy.Unsupported(document.Spec); len(unsupported) > 0 {
		return nil, fmt.Errorf("%s: %w", file, errors.New("not supported yet: "+unsupported[0]))
	}
	set, err := apikey.NewSet(selected(document))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &judge{engine: engine, spec: engine.Spec(), clients: set.Clients()}, nil
}

// selected are the APIKeys of the file that the policy's apiKeyAuth selects.
func selected(document manifest.Document) []policy.APIKeySpec {
	if document.Spec.APIKeyAuth == nil {
		return nil
	}
	var specs []policy.APIKeySpec
	for _, key := range document.APIKeys {
		matches := true
		for name, want := range document.Spec.APIKeyAuth.CredentialSelector.MatchLabels {
			got, ok := key.Labels[name]
			matches = matches && ok && got == want
		}
		if matches {
			specs = append(specs, key.Spec)
		}
	}
	return specs
}

func (j *judge) hasRule(name string) bool {
	return j.spec.Authorization != nil &&
		slices.ContainsFunc(j.spec.Authorization.Rules, func(r policy.Rule) bool { return r.Name == name })
}

func (j *judge) hasProvider(name string) bool {
	return j.spec.JWT != nil &&
		slices.ContainsFunc(j.spec.JWT.Providers, func(p policy.Provider) bool { return p.Name == name })
}

// client is the client of that id; nil without it.
func (j *judge) client(id string) *apikey.Client {
	if i := slices.IndexFunc(j.clients, func(c *apikey.Client) bool { return c.ID == id }); i >= 0 {
		return j.clients[i]
	}
	return nil
}

// judge decides on the request of a case as the sidecar does.
func (j *judge) judge(c testCase) policy.Decision {
	route := j.engine.Route(policy.RequestLine{Method: c.Request.Method, Target: c.Request.Path})
	if reason := route.Reason(); reason != "" {
		return policy.Decision{Reason: reason}
	}
	header := http.Header{}
	for name, list := range c.Request.Headers {
		for _, value := range list {
			header.Add(name, value)
		}
	}
	who := policy.Who{Anonymous: true}
	if p := c.Principal; p != nil {
		who = policy.Who{Provider: p.Provider, Claims: p.Claims}
		if client := j.client(p.APIKey); client != nil {
			who = policy.Who{Client: client.ID, Claims: client.Claims}
		}
	}
	return j.engine.Decide(route, header, who)
}
