package rollcall

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
)

const (
	nonceBytes = 16
	// maxHead is how large the status line and the headers of an answer may be.
	maxHead = 8 << 10
)

// asker puts questions to sidecars: one connection each, no name looked up, no
// proxy, no redirect, nothing decompressed, nothing logged.
type asker struct {
	timeout time.Duration
	random  io.Reader
}

// ask puts one question.
func (a asker) ask(ctx context.Context, q question) reply {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	random := make([]byte, nonceBytes)
	if _, err := io.ReadFull(a.random, random); err != nil {
		return reply{problem: Unreachable} // nothing is asked without a fresh nonce
	}
	nonce := base64.RawURLEncoding.EncodeToString(random)
	body, problem := fetch(ctx, q.address, nonce)
	if problem != "" {
		return reply{problem: problem}
	}
	return judge(body, q, nonce)
}

// fetch gets the body of an answer, or the problem. Everything that a pod says
// is bounded in size and time, and errors are not passed on: they may quote it.
func fetch(ctx context.Context, address, nonce string) (body []byte, problem string) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, Unreachable
	}
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, Unreachable
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := (&http.Request{
		Method: http.MethodGet, Host: address, Close: true, Header: http.Header{"User-Agent": {"gatepost-controller"}},
		URL: &url.URL{Scheme: "http", Host: address, Path: "/state", RawQuery: "nonce=" + nonce},
	}).WithContext(ctx)
	if err := request.Write(conn); err != nil {
		return nil, Unreachable
	}
	bounded := io.LimitReader(conn, maxHead+2*bundle.MaxStateBytes)
	response, err := http.ReadResponse(bufio.NewReader(bounded), request)
	if err != nil {
		return nil, Unreachable
	}
	defer response.Body.Close()
	return read(response)
}

// read reads the body of a response, or tells what its status means.
func read(response *http.Response) (body []byte, problem string) {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		return nil, NotLoaded
	default:
		return nil, Unreachable
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, bundle.MaxStateBytes+1))
	switch {
	case len(body) > bundle.MaxStateBytes:
		return nil, Malformed
	case err != nil:
		return nil, Unreachable
	}
	return body, ""
}
