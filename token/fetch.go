package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
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
	FetchTooLarge FetchResult = "too_large" // more than 1 MiB
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

// fetcher fetches one key set with a client of its own: bounded in time and
// size, no proxy, no cookies, no redirect to another host, addresses checked
// after resolution.
type fetcher struct {
	uri       string
	client    *http.Client
	transport *http.Transport
}

func newFetcher(key feedKey, cfg RemotesConfig) *fetcher {
	gate := addressGate{loopback: key.insecure, forbidden: cfg.Forbidden}
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: gate.control}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		DisableCompression:     true,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxFetchHeader,
		TLSClientConfig:        cfg.tls,
	}
	if cfg.dial != nil {
		transport.DialContext = cfg.dial
	}
	client := &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: sameHost}
	return &fetcher{uri: key.uri, client: client, transport: transport}
}

func (f *fetcher) close() { f.transport.CloseIdleConnections() }

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
	set, skipped := ParseJWKS(body)
	report.Skipped = skipped
	if set.Len() == 0 {
		report.Result, report.Err = FetchInvalid, errors.Join(append([]error{errSetUnusable}, skipped...)...)
		return nil
	}
	report.Result, report.Keys = FetchOK, set.Len()
	return set
}

func (f *fetcher) get(ctx context.Context) ([]byte, FetchResult, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.uri, nil)
	if err != nil {
		return nil, FetchFailed, fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "gatepost")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, resultOf(err), fmt.Errorf("fetching key set: %w", withoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, FetchStatus, fmt.Errorf("fetching key set: the server answered %d", response.StatusCode)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, FetchInvalid, errSetEncoded
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return nil, FetchFailed, fmt.Errorf("reading key set: %w", withoutURL(err))
	}
	if len(body) > maxSetBytes {
		return nil, FetchTooLarge, errSetTooLarge
	}
	return body, FetchOK, nil
}

func resultOf(err error) FetchResult {
	if errors.Is(err, errAddressRefused) {
		return FetchRefused
	}
	return FetchFailed
}

// withoutURL takes the address out of an error: its query may hold a secret.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// addressGate refuses addresses after name resolution, so that no name and no
// redirect leads to them.
type addressGate struct {
	loopback  bool
	forbidden []netip.Addr
}

// control is a net.Dialer's Control.
func (g addressGate) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || g.refuses(target.Addr()) {
		return errAddressRefused
	}
	return nil
}

// metadataAddresses are instance metadata services outside the link-local
// ranges: AWS over IPv6, Google over IPv6, Azure's wire server, Alibaba.
var metadataAddresses = [...]netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("100.100.100.200"),
}

// nat64 is the well-known prefix by which an IPv6 address stands for an IPv4
// one (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func (g addressGate) refuses(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	if nat64.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case !address.IsValid(), address.IsUnspecified(), address.IsMulticast(), address.IsLinkLocalUnicast():
		return true
	case address.IsLoopback():
		return !g.loopback
	}
	for _, metadata := range metadataAddresses {
		if address == metadata {
			return true
		}
	}
	for _, own := range g.forbidden {
		if address == own.Unmap() {
			return true
		}
	}
	return false
}
