package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// rebindInterval is how often addresses are looked for on which a guarded port
// is not yet held.
const rebindInterval = 5 * time.Second

// bindPod listens on every pod address at every guarded port. An agent that
// wants one of them then fails to bind, visibly; so does this, when the agent
// was first.
func (s *Sidecar) bindPod(ctx context.Context) ([]*listener, error) {
	var bound []*listener
	for _, port := range s.config.Guards {
		for _, address := range s.config.PodIPs {
			l, err := s.bind(ctx, netip.AddrPortFrom(address, port))
			if err != nil {
				closeAll(bound)
				if errors.Is(err, syscall.EADDRINUSE) {
					return nil, fmt.Errorf("port %d is %w: let the agent listen on 127.0.0.1 (UVICORN_HOST=127.0.0.1, --host 127.0.0.1)", port, ErrPortTaken)
				}
				return nil, err
			}
			bound = append(bound, l)
		}
	}
	return bound, nil
}

// bind listens on one address, without SO_REUSEPORT: nobody shares a guarded
// port.
func (s *Sidecar) bind(ctx context.Context, at netip.AddrPort) (*listener, error) {
	return s.bindAddress(ctx, at.String(), int(at.Port()))
}

func (s *Sidecar) bindAddress(ctx context.Context, address string, port int) (*listener, error) {
	var config net.ListenConfig
	raw, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	if tcp, ok := raw.Addr().(*net.TCPAddr); ok && port == 0 {
		port = tcp.Port
	}
	return &listener{Listener: raw, port: port, open: &s.connections, away: &s.turning, most: s.maxConnections, turned: s.noteTurnedAway, config: s.wireConfig(), lot: s.lot}, nil
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		_ = l.Close() // it was only just opened
	}
}

// holdOthers keeps trying, until ctx ends, to listen at the guarded ports on
// every other address of the pod, and hands each new listener to serve. A pod
// may get addresses that its status does not name.
func (s *Sidecar) holdOthers(ctx context.Context, serve func(*listener)) {
	held, failed := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	ticker := time.NewTicker(rebindInterval)
	defer ticker.Stop()
	for {
		for _, at := range s.otherAddresses() {
			if held[at] {
				continue
			}
			l, err := s.bind(ctx, at)
			if err != nil {
				if !failed[at] {
					s.log.WarnContext(ctx, "address is not guarded yet", "address", at.String(), "error", err.Error(), "retry_seconds", int(rebindInterval.Seconds()))
				}
				failed[at] = true
				continue
			}
			held[at] = true
			serve(l)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// otherAddresses are the guarded ports on all addresses that are neither the
// pod's own nor loopback.
func (s *Sidecar) otherAddresses() []netip.AddrPort {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var others []netip.AddrPort
	for _, card := range interfaces {
		addresses, err := card.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if err != nil || !s.isOther(prefix.Addr()) {
				continue
			}
			at := prefix.Addr()
			if at.IsLinkLocalUnicast() && at.Is6() {
				at = at.WithZone(card.Name)
			}
			for _, port := range s.config.Guards {
				others = append(others, netip.AddrPortFrom(at, port))
			}
		}
	}
	return others
}

func (s *Sidecar) isOther(address netip.Addr) bool {
	if address.IsLoopback() || address.IsUnspecified() {
		return false
	}
	for _, own := range s.config.PodIPs {
		if own == address.Unmap() {
			return false
		}
	}
	return true
}
