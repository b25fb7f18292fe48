package token

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
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
	// StateDir is a directory in which the last good sets are kept across
	// restarts; empty: they are not. Nobody else may write there.
	StateDir string
	// OnKept, if set, is told what became of kept sets, from the goroutine that
	// uses or fetches them. It must not block.
	OnKept func(Kept)

	dial func(ctx context.Context, network, address string) (net.Conn, error) // tests: a network in memory
	tls  *tls.Config                                                          // tests: their own roots

	resolver *net.Resolver // tests: their own names

	base context.Context // of all feeds, which go on from policy to policy
}

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
	// Recovered says that it is good and the one before was not.
	Recovered bool
}

// Log writes what an operator should know of it: keys that are left out, that it
// failed, and that it is good again.
func (f Fetch) Log(log *slog.Logger) {
	for _, err := range f.Skipped {
		log.Warn("key of a remote key set is left out", "uri", f.URI, "error", err.Error())
	}
	if f.Err != nil {
		log.Warn("remote key set was not fetched", "uri", f.URI, "result", string(f.Result), "error", f.Err.Error())
	}
	if f.Recovered {
		log.Info("remote key set is fetched again", "uri", f.URI, "keys", f.Keys)
	}
}

// Remotes owns the fetching of remote key sets. It outlives policies: each
// address is fetched once, whoever uses it, and its last good set survives a
// reload. A nil *Remotes makes sources that never fetch (for checking a policy).
type Remotes struct {
	cfg   RemotesConfig
	mu    sync.Mutex
	feeds map[feedKey]*feed
}

// feedKey is what makes two providers share a feed. Providers that trust the
// network differently never do.
type feedKey struct {
	uri      string
	insecure bool
	ca       [sha256.Size]byte // the fingerprint of the CABundle; zero: the system's
}

// NewRemotes returns a registry that fetches nothing yet; Use starts it, Close ends it.
func NewRemotes(cfg RemotesConfig) *Remotes {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	cfg.Forbidden, cfg.base = slices.Clone(cfg.Forbidden), context.Background()
	return &Remotes{cfg: cfg, feeds: map[feedKey]*feed{}}
}

// Remote is one provider's view of a remote key set.
type Remote struct {
	provider string
	timing   timing
	feed     *feed
}

// Source returns the provider's remote key set. Nothing is fetched before Use.
// ca holds the certificates that spec.caBundleRef names, nil where it names
// none. Errors name the field of spec that is wrong.
func (r *Remotes) Source(provider string, spec policy.RemoteJWKS, ca *CABundle) (*Remote, error) {
	address, err := url.Parse(spec.URI)
	if err != nil || address.Host == "" || address.User != nil || address.Fragment != "" {
		return nil, fmt.Errorf("provider %q: remoteJWKS.uri must be an absolute https URL without user and fragment", provider)
	}
	if address.Scheme != "https" && (address.Scheme != "http" || !spec.AllowInsecureHTTP) {
		return nil, fmt.Errorf("provider %q: remoteJWKS.uri must be https, or allowInsecureHTTP must be true", provider)
	}
	if (spec.CABundleRef != nil) != (ca != nil) {
		return nil, fmt.Errorf("provider %q: remoteJWKS.caBundleRef: its certificates are missing", provider)
	}
	remote := &Remote{provider: provider, timing: newTiming(spec)}
	key := feedKey{uri: spec.URI, insecure: spec.AllowInsecureHTTP, ca: ca.fingerprint()}
	if r == nil {
		remote.feed = newFeed(key, ca, RemotesConfig{Now: time.Now})
		return remote, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.feeds[key] == nil {
		r.feeds[key] = newFeed(key, ca, r.cfg)
	}
	remote.feed = r.feeds[key]
	return remote, nil
}

// Use makes v the verifier in force: its remote sets are fetched and kept
// fresh, all others are dropped. Call it just before v is swapped in; sources
// made for a verifier that is never used cost nothing.
func (r *Remotes) Use(v *Verifier) {
	if r == nil {
		return
	}
	users := map[*feed][]*Remote{}
	if v != nil {
		for _, p := range v.providers {
			if remote, ok := p.keys.(*Remote); ok {
				users[remote.feed] = append(users[remote.feed], remote)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, unused := range r.feeds {
		if len(users[unused]) == 0 {
			unused.stop()
			delete(r.feeds, key)
		}
	}
	for used, remotes := range users {
		r.feeds[used.key] = used
		used.restore(remotes)
		used.start(remotes)
	}
}

// Close ends all fetching and waits for it.
func (r *Remotes) Close() { r.Use(nil) }

// current is the last good set, unless it is older than maxStale or from the
// future.
func (r *Remote) current(now time.Time) *KeySet {
	good := r.feed.good.Load()
	if good == nil || !good.fresh(now, r.timing.maxStale) {
		return nil
	}
	return good.set
}

// await asks the feed about a kid that is not loaded.
func (r *Remote) await(ctx context.Context, kid string, now time.Time) (*KeySet, Lookup) {
	answer := r.feed.ask(ctx, kid, r.current(now) != nil)
	set := r.current(now)
	if answer == LookupOverloaded {
		return nil, answer
	}
	if set.Len() > 0 && set.byKID[kid] != nil {
		return set, LookupFound
	}
	return set, answer
}

func (r *Remote) lastSuccess() time.Time {
	if good := r.feed.good.Load(); good != nil {
		return good.at
	}
	return time.Time{}
}

// timing is how often a set is fetched.
type timing struct {
	refresh  time.Duration // between two good fetches
	retry    time.Duration // after a failed one, when there is a set to live on
	unknown  time.Duration // between two fetches caused by unknown kids
	maxStale time.Duration // how long a set lives from its fetch on
}

// Bounds that keep a policy from hammering a key server.
const (
	minRefresh = time.Second
	minRetry   = time.Second
	minUnknown = time.Second
)

// newTiming applies the defaults. A set is never stale before its refresh had a
// chance to succeed, however short maxStale is.
func newTiming(spec policy.RemoteJWKS) timing {
	t := timing{
		refresh: durationOr(spec.CacheDuration, 5*time.Minute, minRefresh),
		retry:   durationOr(spec.FailedRefetchDuration, 10*time.Second, minRetry),
		unknown: durationOr(spec.UnknownKeyRefetchInterval, 10*time.Second, minUnknown),
	}
	t.maxStale = durationOr(spec.MaxStale, 24*time.Hour, spread(t.refresh, latestRefresh)+fetchTimeout)
	return t
}

func durationOr(value *policy.Duration, absent, least time.Duration) time.Duration {
	if value == nil {
		return absent
	}
	return max(value.Duration, least)
}

// shortest is the timing of a feed that several providers share: the most eager
// of each, and the most patient maxStale.
func shortest(remotes []*Remote) timing {
	shared := remotes[0].timing
	for _, other := range remotes[1:] {
		shared.refresh = min(shared.refresh, other.timing.refresh)
		shared.retry = min(shared.retry, other.timing.retry)
		shared.unknown = min(shared.unknown, other.timing.unknown)
		shared.maxStale = max(shared.maxStale, other.timing.maxStale)
	}
	return shared
}
