//go:build !linux

package cluster

import (
	"context"
	"net"
)

// There is no node here, and so no namespace to enter and nothing to share.

func holdUntilExit(string) error { return ErrNoNode }

func whenReleased(context.Context, string, string) error { return ErrNoNode }

func dialFrom(ctx context.Context, _, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func listenOn(ctx context.Context, _, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}
