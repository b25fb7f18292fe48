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
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/token"
)

// Bounds of asking about a session.
const (
	askTimeout    = 5 * time.Second
	maxAsking     = 64       // at once
	maxSession    = 64 << 10 // bytes of the answer
	maxAskHeader  = 64 << 10
	maxCookieText = 8 << 10
)

// asker asks another system about sessions: bounded in time, size and number, over
// HTTP/1.1, no proxy, no redirects, addresses checked after resolution.
type asker struct {
	about  grant.Introspection
	client *http.Client
	places chan struct{}
}

func newAsker(about grant.Introspection) *asker {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &asker{
		about: about, places: make(chan struct{}, maxAsking),
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

// What asking found, where it is not a session.
var (
	errNoSession = errors.New("there is no such session")
	errAskBusy   = errors.New("too many sessions are being asked about")
)

// ask returns what the other system says of a session's cookie. The error is
// errNoSession when it says that there is none; any other means that it said
// nothing.
func (a *asker) ask(ctx context.Context, value string) (map[string]any, error) {
	if value == "" || len(value) > maxCookieText {
		return nil, errNoSession
	}
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		return nil, errAskBusy
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.about.URI, nil)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	request.Header["Cookie"] = []string{a.about.ForwardCookie + "=" + value}
	request.Header["Accept"] = []string{"application/json"}
	request.Header["User-Agent"] = []string{"gatepost"}
	response, err := a.client.Do(request)
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
	claims, err := x.in.asker.ask(x.r.Context(), value)
	switch {
	case errors.Is(err, errNoSession):
		x.refuse(resultNoSession, invalidToken)
		return grant.Principal{}, false
	case err != nil:
		x.why = withoutURL(err)
		x.refuse(resultUnavailable, unavailable)
		return grant.Principal{}, false
	}
	return grant.Principal{Introspected: true, Claims: claims, NotAfter: expiryIn(claims)}, true
}

// withoutURL is an error's text without the address that was asked, which may
// hold a secret of its own.
func withoutURL(err error) string {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		return asked.Err.Error()
	}
	return err.Error()
}

// expiryIn is the member exp of a session (RFC 7662 section 2.2); zero without one
// that is a time.
func expiryIn(claims map[string]any) time.Time {
	number, ok := claims["exp"].(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := number.Int64()
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
