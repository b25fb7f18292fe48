package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
)

// ErrNotLoaded is wrapped by the error of Run when a standalone sidecar cannot
// load its policy and keys at the start.
var ErrNotLoaded = errors.New("loading policy and keys")

// Run guards until ctx ends, then drains and returns nil. It returns early with
// an error when a port cannot be bound (ErrPortTaken) or, standalone, when
// policy or keys cannot be loaded (ErrNotLoaded). In a pod it starts without
// them, not ready, answers 503 and waits for them.
func (s *Sidecar) Run(ctx context.Context) error {
	defer s.remotes.Close()
	if err := s.reload(); err != nil {
		if !s.config.InPod() {
			return fmt.Errorf("%w: %w", ErrNotLoaded, err)
		}
		s.logKept(err)
	}
	guarded, err := s.bindGuarded(ctx)
	if err != nil {
		return err
	}
	private, err := adminport.Listen(ctx, s.config.Admin)
	if err != nil {
		closeAll(guarded)
		return err
	}
	s.logListening(guarded, private)
	return s.serveUntil(ctx, guarded, private)
}

// bindGuarded listens where requests come in.
func (s *Sidecar) bindGuarded(ctx context.Context) ([]*listener, error) {
	if s.config.InPod() {
		return s.bindPod(ctx)
	}
	l, err := s.bindAddress(ctx, s.config.Listen, 0)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return []*listener{l}, nil
}

func (s *Sidecar) logListening(guarded []*listener, private []net.Listener) {
	addresses := make([]string, len(guarded))
	for i, l := range guarded {
		addresses[i] = l.Addr().String()
	}
	s.log.Info("listening", "guarded", addresses, "admin", private[0].Addr().String())
}

// serveUntil serves everything until ctx ends or a listener fails, drains, and
// waits for all it started.
func (s *Sidecar) serveUntil(ctx context.Context, guarded []*listener, private []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, admin := s.newServer(), s.newAdminServer()
	failed := make(chan error, 1)
	var group sync.WaitGroup
	serve := func(server *http.Server, l net.Listener) {
		group.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				select {
				case failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err):
				default:
				}
			}
		})
	}
	for _, l := range guarded {
		serve(server, l)
	}
	serve(server, s.lot)
	group.Go(s.lot.sweep)
	for _, l := range private {
		serve(admin, adminport.Crowded(l))
	}
	group.Go(func() { s.files.Run(ctx) })
	group.Go(func() { s.follow(ctx) })
	if s.config.InPod() {
		group.Go(func() { s.holdOthers(ctx, func(l *listener) { serve(server, l) }) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.drain(server)
	cancel()
	_ = admin.Close() // nobody is owed an answer there
	group.Wait()
	return err
}

// newServer makes the server of the guarded ports. It has no time limit on
// bodies and answers, because streams have none.
func (s *Sidecar) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headTimeout,
		IdleTimeout:                  restAfter,
		ConnState:                    noteState,
		MaxHeaderBytes:               2 << 20, // the policy's own limit is kept by package wire
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     s.httpLog,
		BaseContext:                  func(net.Listener) context.Context { return s.base },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
}

// drain refuses new connections and lets requests, streams and WebSockets among
// them, come to their end; what is left after the drain timeout is cut off.
func (s *Sidecar) drain(server *http.Server) {
	s.health.Drain()
	ctx, cancel := context.WithTimeout(s.base, s.config.DrainTimeout)
	defer cancel()
	s.log.Info("draining", "requests", s.requests.Load(), "timeout_seconds", int(s.config.DrainTimeout.Seconds()))
	_ = server.Shutdown(ctx) // what is left is seen below
	if !s.idle(ctx) {        // those that switched protocols are not the server's any more
		s.log.Warn("requests are cut off", "requests", s.requests.Load())
	}
	s.stop()
	_ = server.Close() // what is left has no claim to an orderly end
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.idle(ctx) // their records are still to be written
	s.log.Info("drained")
}

// idle waits until no exchange is left, no longer than ctx.
func (s *Sidecar) idle(ctx context.Context) bool {
	for s.exchanges.Load() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return true
}
