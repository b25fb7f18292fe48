package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// Sign signs any bytes, so that tests can sign what Mint would not write.
var Sign = sign

// DecodeObject is the JSON reader, and the bounds by which it is stricter than
// encoding/json, for its fuzz test.
var (
	DecodeObject     = decodeObject
	ErrJSONDepth     = errJSONDepth
	ErrJSONDuplicate = errJSONDuplicate
	ErrJSONNumber    = errJSONNumber
	ErrJSONUTF8      = errJSONUTF8
	ErrJSONObject    = errJSONObject
	ErrJSONValues    = errJSONValues
)

// OverNetwork makes remotes fetch over another network.
func OverNetwork(cfg RemotesConfig, dial func(ctx context.Context, network, address string) (net.Conn, error)) RemotesConfig {
	cfg.dial = dial
	return cfg
}

// WithRoots makes remotes trust other roots.
func WithRoots(cfg RemotesConfig, roots *x509.CertPool) RemotesConfig {
	cfg.tls = &tls.Config{RootCAs: roots}
	return cfg
}

// WithResolver makes remotes look names up elsewhere.
func WithResolver(cfg RemotesConfig, resolver *net.Resolver) RemotesConfig {
	cfg.resolver = resolver
	return cfg
}

// FetchTimes fetches again and again with one fetcher, as a feed does, and gives
// up after a while each time.
func FetchTimes(ctx context.Context, uri string, times int, patience time.Duration) FetchResult {
	fetcher := newFetcher(feedKey{uri: uri, insecure: true}, nil, RemotesConfig{})
	var report Fetch
	for range times {
		within, cancel := context.WithTimeout(ctx, patience)
		fetcher.fetch(within, &report)
		cancel()
	}
	return report.Result
}

// RefusesAddress asks the gate of the fetching client.
func RefusesAddress(address string, loopback bool, own ...netip.Addr) bool {
	gate := addressGate{loopback: loopback, forbidden: own}
	return gate.control("tcp", address, nil) != nil
}

// SignedBy reports whether the text is a compact JWS, of whatever payload, that
// one of the algorithms and one of the keys verify: the way of Verify up to the
// claims.
func SignedBy(set *KeySet, algs []string, text string) bool {
	token, payload, ok := openCompact(text)
	if !ok {
		return false
	}
	if _, ok := decodeBase64(payload); !ok {
		return false
	}
	var allowed algorithmSet
	for _, name := range algs {
		allowed = allowed.with(algorithmNamed(name))
	}
	attempt := &attempt{compact: token, trials: maxTrials}
	key, _ := attempt.signer(set)
	return key != nil && allowed.has(token.alg)
}

// TrialsLeft is how many signatures a token may still cost after the set.
func TrialsLeft(set *KeySet, text string) int {
	token, _, _ := openCompact(text)
	attempt := &attempt{compact: token, trials: maxTrials}
	attempt.signer(set)
	return attempt.trials
}

// Checks reports whether the one key of the set verifies the signature of a
// message by an algorithm.
func Checks(set *KeySet, alg string, message, signature []byte) bool {
	check := set.keys[0].check(algorithmNamed(alg))
	return check != nil && check.verify(message, signature)
}

// EncodeKept and DecodeKept are the form of a kept set.
func EncodeKept(feed string, set *KeySet, at time.Time) ([]byte, error) {
	return encodeKept(feed, &goodSet{set: set, at: at})
}

// DecodeKept reads what EncodeKept writes.
func DecodeKept(feed string, data []byte) (*KeySet, time.Time, error) {
	good, err := decodeKept(feed, data)
	if err != nil {
		return nil, time.Time{}, err
	}
	return good.set, good.at, nil
}
