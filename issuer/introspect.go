package issuer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/throttle"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// Bounds of asking about a session.
const (
	askTimeout    = 5 * time.Second
	maxAsking     = 64       // at once
	maxAskingOf   = 16       // of these for one address
	maxSession    = 64 << 10 // bytes of the answer
	maxAskHeader  = 64 << 10
	maxCookieText = 8 << 10
)

// asker asks another system about sessions: bounded in time, size and number, over
// HTTP/1.1, no proxy, no redirects, addresses checked after resolution.
type asker struct {
	about  grant.Introspection
	client *http.Client
}

func newAsker(about grant.Introspection) *asker {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &asker{
		about: about,
		client: &http.Client{
			Timeout: askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // a session is not looked for elsewhere
			},
			Transport: &http.Transport{
				DialContext: token.Dialer(about.AllowInsecureHTTP, nil).DialContext, Protocols: protocols,
				DisableCompression: true, MaxResponseHeaderBytes: maxAskHeader, MaxIdleConnsPerHost: 8, MaxConnsPerHost: maxAsking,
				IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: askTimeout, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			},
		},
	}
}

func (a *asker) close() { a.client.CloseIdleConnections() }

// errNoSession is what asking found where it is not a session.
var errNoSession = errors.New("there is no such session")

// ask returns what the other system says of a session's cookie. The error is
// errNoSession when it says that there is none; any other means that it said
// nothing.
func (a *asker) ask(ctx context.Context, value string) (map[string]any, error) {
	if !isCookieValue(value) {
		return nil, errNoSession
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.about.URI, nil) //nolint:gosec // G704: the address is the document's, never the request's
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	request.Header["Cookie"] = []string{a.about.ForwardCookie + "=" + value}
	request.Header["Accept"] = []string{"application/json"}
	request.Header["User-Agent"] = []string{"gatepost"}
	response, err := a.client.Do(request) //nolint:gosec // G704: as above, and checked when it is dialed
	if err != nil {
		return nil, fmt.Errorf("asking about a session: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return readSession(response)
}

// readSession reads the answer.
func readSession(response *http.Response) (map[string]any, error) {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, errNoSession
	default:
		return nil, fmt.Errorf("asking about a session: answered %d", response.StatusCode)
	}
	var body strings.Builder
	if _, err := io.Copy(&body, io.LimitReader(response.Body, maxSession+1)); err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	switch text := strings.TrimSpace(body.String()); {
	case body.Len() > maxSession:
		return nil, fmt.Errorf("reading a session: larger than %d bytes", maxSession)
	case text == "null" || text == "":
		return nil, errNoSession
	default:
		return parseSession(text)
	}
}

func parseSession(text string) (map[string]any, error) {
	claims, err := token.ParseObject(text)
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	if active, ok := claims["active"]; ok && active != true { // RFC 7662 section 2.2
		return nil, errNoSession
	}
	return claims, nil
}

// introspect finds out who a cookie stands for, or answers why nobody is known.
func (i *Issuer) introspect(x *exchange, value string) (grant.Principal, bool) {
	x.provider = "introspection"
	source := throttle.Source(x.address())
	if !i.asking.take(source) {
		x.why = "too many sessions are being asked about"
		x.refuse(resultUnavailable, unavailable)
		return grant.Principal{}, false
	}
	defer i.asking.leave(source)
	claims, err := x.in.asker.ask(x.r.Context(), value)
	notAfter, known := expiryIn(claims)
	switch {
	case errors.Is(err, errNoSession):
		x.refuse(resultNoSession, invalidToken)
		return grant.Principal{}, false
	case err != nil:
		x.why = withoutURL(err)
		x.refuse(resultUnavailable, unavailable)
		return grant.Principal{}, false
	case !known:
		x.why = "exp"
		x.refuse(string(policy.ClaimInvalid), invalidToken)
		return grant.Principal{}, false
	case x.outlived(notAfter):
		x.refuse(string(policy.Expired), sessionAnswer(policy.Expired))
		return grant.Principal{}, false
	}
	return grant.Principal{Introspected: true, Claims: claims, NotAfter: notAfter}, true
}

// withoutURL is an error's text without the address that was asked, which may
// hold a secret of its own.
func withoutURL(err error) string {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		return asked.Err.Error()
	}
	return err.Error()
}

// expiryIn is the member exp of a session (RFC 7662 section 2.2), the zero time where
// it has none. It reports false for one that is no time: nobody knows then whether the
// session goes on.
func expiryIn(claims map[string]any) (time.Time, bool) {
	exp, ok := claims["exp"]
	if !ok {
		return time.Time{}, true
	}
	number, _ := exp.(json.Number)
	seconds, err := number.Int64()
	if err != nil || seconds <= 0 {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

// isCookieValue reports whether a text is what RFC 6265 section 4.1.1 takes for the
// value of one cookie, and short: others may read several cookies out of it.
func isCookieValue(text string) bool {
	if len(text) > maxCookieText {
		return false
	}
	if plain, ok := strings.CutPrefix(text, `"`); ok {
		if text, ok = strings.CutSuffix(plain, `"`); !ok {
			return false
		}
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`",;\`, c) >= 0 {
			return false
		}
	}
	return text != ""
}

// places are those of the sessions that are being asked about: not all for one source,
// however slow the other system is. The zero places are free.
type places struct {
	mu    sync.Mutex
	taken int
	of    map[[16]byte]int
}

// take takes a place for a source, if it may have one more.
func (p *places) take(source [16]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= maxAsking || p.of[source] >= maxAskingOf {
		return false
	}
	if p.of == nil {
		p.of = map[[16]byte]int{}
	}
	p.taken++
	p.of[source]++
	return true
}

// leave gives it back.
func (p *places) leave(source [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.of[source]--; p.of[source] == 0 {
		delete(p.of, source)
	}
}
