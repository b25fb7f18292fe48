package issuer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/internal/crowd"
)

// ErrNotLoaded is wrapped by the error of Run when a standalone issuer cannot load
// its document and keys at the start.
var ErrNotLoaded = errors.New("loading document and keys")

// Bounds of a connection. Requests and answers are small: who takes longer is not
// served.
const (
	headTimeout    = 10 * time.Second
	requestTimeout = 15 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHead        = 32 << 10 // bytes; a session token has up to 16 KiB
	maxConnections = 1024     // with so large a head each they take less than 64 MiB
)

// Run serves until ctx ends, then drains and returns nil. It returns early with an
// error when an address cannot be listened on or, standalone, when document or
// keys cannot be loaded (ErrNotLoaded). In a pod it starts without them, not
// ready, answers 503 and waits for them.
func (i *Issuer) Run(ctx context.Context) error {
	defer i.remotes.Close()
	defer i.stop()
	if err := i.Load(); err != nil {
		if !i.config.InPod() {
			return errors.Join(fmt.Errorf("%w: %w", ErrNotLoaded, err), i.abandon())
		}
		i.logKept(err)
	}
	public, err := i.listen(ctx)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	private, err := adminport.Listen(ctx, i.config.Admin)
	if err != nil {
		_ = public.Close() // it was only just opened
		return err
	}
	i.log.InfoContext(ctx, "listening", "public", public.Addr().String(), "admin", private[0].Addr().String())
	return i.serveUntil(ctx, public, private)
}

// abandon closes the listener that Run was given and will not use.
func (i *Issuer) abandon() error {
	if i.config.Listener == nil {
		return nil
	}
	return i.config.Listener.Close()
}

func (i *Issuer) listen(ctx context.Context) (net.Listener, error) {
	if i.config.Listener != nil {
		return i.config.Listener, nil
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", i.config.Listen)
}

// serveUntil serves everything until ctx ends or a listener fails, drains, and
// waits for all it started.
func (i *Issuer) serveUntil(ctx context.Context, public net.Listener, private []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, admin := i.newServer(), i.newAdminServer()
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
	serve(server, fewLines{crowd.Bound(public, maxConnections)})
	for _, l := range private {
		serve(admin, adminport.Crowded(l))
	}
	group.Go(func() { i.files.Run(ctx) })
	group.Go(func() { i.follow(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	i.drain(server)
	cancel()
	_ = admin.Close() // nobody is owed an answer there
	group.Wait()
	if in := i.current.Load(); in != nil && in.asker != nil {
		in.asker.close()
	}
	return err
}

// newServer makes the public server.
func (i *Issuer) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      i,
		ReadHeaderTimeout:            headTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 answerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHead,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ConnState:                    noteState,
		ErrorLog:                     i.httpLog,
		BaseContext:                  func(net.Listener) context.Context { return i.base },
	}
}

// drain refuses new connections and lets requests come to their end; what is left
// after the drain timeout is cut off.
func (i *Issuer) drain(server *http.Server) {
	i.health.Drain()
	ctx, cancel := context.WithTimeout(i.base, i.config.DrainTimeout)
	defer cancel()
	i.log.Info("draining", "requests", i.requests.Load(), "timeout_seconds", int(i.config.DrainTimeout.Seconds()))
	if err := server.Shutdown(ctx); err != nil {
		i.log.Warn("requests are cut off", "requests", i.requests.Load())
	}
	i.stop()
	_ = server.Close() // what is left has no claim to an orderly end
	i.log.Info("drained")
}
