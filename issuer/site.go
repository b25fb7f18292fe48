package issuer

import (
	"fmt"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/clientaddr"
	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/internal/issuing"
)

// site is a loaded issuer and everything that follows from it. It is immutable
// and swapped as a whole.
type site struct {
	*issuing.Snapshot

	spec      grant.Spec
	cors      crossorigin.Rules
	proxies   clientaddr.Proxies
	routes    map[string]endpoint
	limits    *limits
	asker     *asker // nil: nobody is asked about sessions
	documents map[endpoint][]byte
}

// newSite derives everything from a loaded issuer. before is in force now, or nil.
func newSite(loaded *issuing.Snapshot, before *site) (*site, error) {
	spec := loaded.Plan.Spec()
	made := &site{Snapshot: loaded, spec: spec, cors: crossorigin.New(spec.CORS), routes: routesOf(spec.Issuer)}
	var err error
	if made.proxies, err = clientaddr.Parse(spec.TrustedProxies); err != nil {
		return nil, fmt.Errorf("issuer %s: spec.trustedProxies: %w", loaded.Name, err)
	}
	if made.documents, err = documentsOf(loaded); err != nil {
		return nil, fmt.Errorf("issuer %s: %w", loaded.Name, err)
	}
	var limitsBefore *limits
	if before != nil {
		limitsBefore = before.limits
	}
	made.limits = newLimits(ratesOf(&spec), limitsBefore)
	if session := spec.Session; session != nil && session.Introspection != nil {
		made.asker = newAsker(*session.Introspection)
		if before != nil && before.asker != nil && before.asker.about == made.asker.about {
			made.asker = before.asker
		}
	}
	return made, nil
}
