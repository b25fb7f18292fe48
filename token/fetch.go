package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of one fetch (threats D5).
const (
	fetchTimeout     = 5 * time.Second
	maxSetBytes      = 1 << 20
	maxFetchHeader   = 64 << 10
	maxSameRedirects = 3
)

// FetchResult is how a fetch ended; it is the label result of
// gatepost_jwks_fetches_total.
type FetchResult string

// The closed set of fetch results.
const (
	FetchOK       FetchResult = "ok"
	FetchFailed   FetchResult = "error"     // no connection, TLS, timeout, refused redirect
	FetchRefused  FetchResult = "refused"   // an address that is never fetched from
	FetchStatus   FetchResult = "status"    // an answer other than 200
	FetchTooLarge FetchResult = "too_large" // more than 1 MiB, or 1.5 MiB on the wire
	FetchInvalid  FetchResult = "invalid"   // encoded, not a key set, or none of its keys is usable
)

// Why a fetch failed.
var (
	errAddressRefused = errors.New("the address is never fetched from: link-local, metadata, loopback (without allowInsecureHTTP) or the pod's own")
	errRedirect       = errors.New("redirected to another host or too often")
	errSetTooLarge    = fmt.Errorf("the answer is larger than %d bytes", maxSetBytes)
	errSetEncoded     = errors.New("the answer has a content encoding, although none was accepted")
	errSetUnusable    = errors.New("none of its keys is usable")
)

// fetcher fetches one key set: bounded in time and size, over HTTP/1.1, no proxy,
// no cookies, no redirect to another host, addresses checked after resolution.
type fetcher struct {
	uri  string
	dial dialFunc
	tls  *tls.Config
}

func newFetcher(key feedKey, ca *CABundle, cfg RemotesConfig) *fetcher {
	gate := addressGate{loopback: key.insecure, forbidden: cfg.Forbidden}
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: gate.control, Resolver: cfg.resolver}
	made := &fetcher{uri: key.uri, dial: dialer.DialContext, tls: cfg.tls}
	if roots := ca.roots(); roots != nil {
		made.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if cfg.dial != nil {
		made.dial = cfg.dial
	}
	return made
}

// client is for one fetch: nothing of it outlives the line.
func (f *fetcher) client(fetch context.Context, line *line) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		DialContext:            line.dialWithin(fetch, f.dial),
		DisableCompression:     true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxFetchHeader,
		Protocols:              protocols,
		TLSClientConfig:        f.tls,
		TLSHandshakeTimeout:    fetchTimeout,
	}
	return &http.Client{Transport: transport, CheckRedirect: sameHost}
}

// sameHost follows redirects within one origin only.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxSameRedirects || next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return errRedirect
	}
	return nil
}

// fetch gets the set and fills in the report. The set is nil unless the result
// is FetchOK; then it holds at least one key.
func (f *fetcher) fetch(ctx context.Context, report *Fetch) *KeySet {
	body, result, err := f.get(ctx)
	if err != nil {
		report.Result, report.Err = result, err
		return nil
	}
	set, skipped := parseJWKS(body)
	report.Skipped = skipped
	if set.Len() == 0 {
		report.Result, report.Err = FetchInvalid, errors.Join(append([]error{errSetUnusable}, skipped...)...)
		return nil
	}
	report.Result, report.Keys = FetchOK, set.Len()
	return set
}

func (f *fetcher) get(ctx context.Context) (string, FetchResult, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	line := &line{left: maxWireBytes}
	defer line.end()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.uri, nil)
	if err != nil {
		return "", FetchFailed, fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "gatepost")
	response, err := f.client(ctx, line).Do(request)
	if err != nil {
		return "", resultOf(err), fmt.Errorf("fetching key set: %w", withFix(withoutURL(err)))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", FetchStatus, fmt.Errorf("fetching key set: the server answered %d", response.StatusCode)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "", FetchInvalid, errSetEncoded
	}
	return readSet(response)
}

// readSet reads the body, no more of it than is allowed.
func readSet(response *http.Response) (string, FetchResult, error) {
	if response.ContentLength > maxSetBytes {
		return "", FetchTooLarge, errSetTooLarge
	}
	var body strings.Builder
	body.Grow(int(max(response.ContentLength, 4<<10)))
	if _, err := io.Copy(&body, io.LimitReader(response.Body, maxSetBytes+1)); err != nil {
		return "", resultOf(err), fmt.Errorf("reading key set: %w", withoutURL(err))
	}
	if body.Len() > maxSetBytes {
		return "", FetchTooLarge, errSetTooLarge
	}
	return body.String(), FetchOK, nil
}

func resultOf(err error) FetchResult {
	switch {
	case errors.Is(err, errAddressRefused):
		return FetchRefused
	case errors.Is(err, errWireTooLarge):
		return FetchTooLarge
	default:
		return FetchFailed
	}
}

// withFix says what to do about a certificate whose signer is not known.
func withFix(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w: name your CA in caBundleRef", err)
	}
	return err
}

// withoutURL takes the address out of an error: its query may hold a secret.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
