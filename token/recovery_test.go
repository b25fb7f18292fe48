package token_test

import (
	"fmt"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// TestRecoveryTakesTenSeconds is the last part of D4: whenever the server comes
// back, and however it was broken, tokens are accepted ten seconds later.
func TestRecoveryTakesTenSeconds(t *testing.T) {
	key, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	for name, broken := range map[string]func(*keyServer){
		"500":     func(s *keyServer) { s.set(nil) },
		"silence": func(s *keyServer) { s.hang() },
	} {
		for _, jitter := range []float64{0.001, 0.999} {
			t.Run(fmt.Sprintf("from %s at the start, jitter %v", name, jitter), func(t *testing.T) {
				for down := range 60 {
					server := &keyServer{jitter: jitter}
					broken(server)
					inWorld(t, server, nil, func(t *testing.T, w *world) {
						time.Sleep(time.Duration(down) * 700 * time.Millisecond)
						server.publish(t, key)
						time.Sleep(10 * time.Second)
						w.want(t, key, policy.OK)
					})
				}
			})
			t.Run(fmt.Sprintf("from %s in mid-life, jitter %v", name, jitter), func(t *testing.T) {
				for down := range 60 {
					server := &keyServer{jitter: jitter}
					server.publish(t, key)
					inWorld(t, server, nil, func(t *testing.T, w *world) {
						time.Sleep(time.Minute)
						broken(server)
						time.Sleep(5*time.Minute + time.Duration(down)*700*time.Millisecond)
						w.want(t, key, policy.OK)
						server.publish(t, key, fresh)
						time.Sleep(10 * time.Second)
						w.want(t, fresh, policy.OK)
					})
				}
			})
		}
	}
}

// TestShortMaxStale: a set is in force from one refresh to the next, whatever
// maxStale says, and no longer than that without one.
func TestShortMaxStale(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{jitter: 0.999}
	server.publish(t, key)
	change := func(r *policy.RemoteJWKS) { r.CacheDuration, r.MaxStale = seconds(60), seconds(0) }
	inWorld(t, server, change, func(t *testing.T, w *world) {
		for range 200 {
			w.want(t, key, policy.OK)
			time.Sleep(3 * time.Second)
		}
		server.set(nil)
		time.Sleep(72 * time.Second)
		w.want(t, key, policy.KeysUnavailable)
	})
}
