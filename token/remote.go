package token

import (
	"context"
	"net/netip"
	"time"

	"gatepost.dev/gatepost/policy"
)

// RemotesConfig is what remote key sets need from outside. The zero value works.
type RemotesConfig struct {
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Jitter returns a number in [0,1) that spreads fetches; default math/rand.
	Jitter func() float64
	// Forbidden are addresses that are never fetched from: the pod's own.
	Forbidden []netip.Addr
	// OnFetch, if set, is told about each finished fetch, from the goroutine
	// that fetched. It must not block.
	OnFetch func(Fetch)
}

// FetchResult is how a fetch ended; it is the label result of
// gatepost_jwks_fetches_total.
type FetchResult string

// The closed set of fetch results.
const (
	FetchOK       FetchResult = "ok"
	FetchFailed   FetchResult = "error"     // no connection, TLS, timeout, refused redirect
	FetchRefused  FetchResult = "refused"   // an address that is never fetched from
	FetchStatus   FetchResult = "status"    // an answer other than 200
	FetchTooLarge FetchResult = "too_large" // more than 1 MiB, or a content encoding
	FetchInvalid  FetchResult = "invalid"   // not a key set, or none of its keys is usable
)

// Fetch is one finished fetch of a remote key set.
type Fetch struct {
	// Providers are the names of the providers that use the set.
	Providers []string
	// URI is the set's address.
	URI string
	// Result is how it ended; Err is nil exactly when it is FetchOK.
	Result FetchResult
	Err    error
	// At is when it ended.
	At time.Time
	// Keys is how many keys were taken, Skipped why others were not.
	Keys    int
	Skipped []error
}

// Remotes owns the fetching of remote key sets. It outlives policies: each
// address is fetched once, whoever uses it, and its last good set survives a
// reload. A nil *Remotes makes sources that never fetch (for checking a policy).
type Remotes struct{}

// NewRemotes returns a registry that fetches nothing yet; Use starts it, Close ends it.
func NewRemotes(cfg RemotesConfig) *Remotes { return &Remotes{} }

// Source returns the provider's remote key set. Nothing is fetched before Use.
func (r *Remotes) Source(provider string, spec policy.RemoteJWKS) (*Remote, error) {
	return &Remote{}, nil
}

// Use makes v the verifier in force: its remote sets are fetched and kept
// fresh, all others are dropped. Call it just before v is swapped in.
func (r *Remotes) Use(v *Verifier) {}

// Close ends all fetching and waits for it.
func (r *Remotes) Close() {}

// Remote is one provider's view of a remote key set.
type Remote struct{}

func (r *Remote) current(time.Time) *KeySet { return nil }

func (r *Remote) await(context.Context, string, time.Time) (*KeySet, Lookup) {
	return nil, LookupFailed
}

func (r *Remote) lastSuccess() time.Time { return time.Time{} }
