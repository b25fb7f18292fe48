package jwks_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// TestUnknownKeyIDs: four hundred ids that nobody knows cause one fetch within
// ten seconds, and a known id is answered all the while, also when the server
// hangs.
func TestUnknownKeyIDs(t *testing.T) {
	s := newStand(t, newScene(t), "5m", "hanging")
	in := s.states[0]
	in.server.recover(t, in.key)
	close(s.held)
	s.accepted(t, in, in.key)
	first := in.server.fetches()
	for round, bad := range []bool{false, true} {
		if bad {
			in.server.fail()
			pause(t.Context(), 10*time.Second)
		}
		s.storm(t, in)
		if got := in.server.fetches() - first; got != round+1 {
			t.Errorf("%d fetches after %d storms", got, round+1)
		}
	}
	live.Figure("jwks_unknown_kid_fetches", in.server.mostWithin(10*time.Second)-1, "fetches")
	if in.server.mostWithin(10*time.Second) > 2 { // the first one is no storm's
		t.Errorf("fetches at %v", in.server.fetched)
	}
}

// storm sends 400 tokens with ids of their own, 20 at a time, and among them
// honest ones.
func (s *stand) storm(t *testing.T, in *state) {
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 20 {
				forged := s.scene.attacker
				forged.KID = fmt.Sprint("nobody-", serial.Add(1))
				s.want(t, "/forged", mint(t, forged, in.name), http.StatusUnauthorized)
				s.want(t, "/honest", mint(t, in.key, in.name), http.StatusOK)
			}
		})
	}
	all.Wait()
}
