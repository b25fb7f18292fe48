package sidecar

import (
	"context"
	"net"
	"net/http"
	"time"
)

// newTransport makes the client of the agent. It asks no environment for a
// proxy, adds nothing to requests, waits for an answer as long as the agent
// thinks, and keeps connections only briefly when idle: an agent may close one
// at any moment (gunicorn after two seconds), and a request that is under way
// on it then cannot be sent again.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            dialAgent,
		DisableCompression:     true,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        1500 * time.Millisecond,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// dial connects to the agent, which may listen on either loopback address.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	host, port, splitErr := net.SplitHostPort(address)
	if err == nil || splitErr != nil || host != "127.0.0.1" || ctx.Err() != nil {
		return conn, err
	}
	if other, otherErr := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); otherErr == nil {
		return other, nil
	}
	return nil, err
}
