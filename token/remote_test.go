package token_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestRemoteStartsDegraded is D4: 503 until there are keys, never 401, and back
// within 10 s of the server's recovery.
func TestRemoteStartsDegraded(t *testing.T) {
	key := generate(t, "ES256", "k1")
	for name, broken := range map[string]func(*keyServer){
		"while the server answers 500": func(s *keyServer) { s.set(nil) },
		"while it answers rubbish":     func(s *keyServer) { s.say("<html>") },
		"while its set is empty":       func(s *keyServer) { s.say(`{"keys":[]}`) },
		"while it hangs":               func(s *keyServer) { s.hang() },
	} {
		t.Run(name, func(t *testing.T) {
			server := &keyServer{}
			broken(server)
			inWorld(t, server, nil, func(t *testing.T, w *world) {
				for range 30 {
					w.want(t, key, policy.KeysUnavailable)
					got, _ := w.judge(t, key, map[string]any{"kid": nil})
					wantReason(t, got, policy.KeysUnavailable)
					time.Sleep(time.Second)
				}
				server.publish(t, key)
				time.Sleep(10 * time.Second)
				w.want(t, key, policy.OK)
			})
		})
	}
}

// TestRemoteRetriesWithBackoff: 1, 2, 4, 8 s and then every 8 s.
func TestRemoteRetriesWithBackoff(t *testing.T) {
	inWorld(t, &keyServer{}, nil, func(t *testing.T, w *world) {
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if got := w.server.fetches.Load(); got < 8 || got > 12 {
			t.Errorf("%d fetches in a minute, want about 10", got)
		}
	})
}

// TestFirstRequestWaits: a request that comes while the first fetch is under way
// is not turned away.
func TestFirstRequestWaits(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) { w.want(t, key, policy.OK) })
}

// TestKnownKeyNeverWaits is the last part of D6.
func TestKnownKeyNeverWaits(t *testing.T) {
	key, next := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.hang()
		time.Sleep(time.Minute)
		waiting := make(chan time.Duration)
		go func() {
			got, took := w.judge(t, next, nil)
			wantReason(t, got, policy.UnknownKey)
			waiting <- took
		}()
		synctest.Wait()
		for range 100 {
			got, took := w.judge(t, key, nil)
			wantReason(t, got, policy.OK)
			if took != 0 {
				t.Fatalf("a known key waited %v", took)
			}
		}
		if took := <-waiting; took != 5*time.Second {
			t.Errorf("an unknown key waited %v, want the fetch's 5s", took)
		}
	})
}

// TestRotatedKeyIsFoundAtOnce: Better Auth signs with a key it never published
// before.
func TestRotatedKeyIsFoundAtOnce(t *testing.T) {
	old, fresh := generate(t, "ES256", "k1"), generate(t, "EdDSA", "k2")
	server := &keyServer{}
	server.publish(t, old)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, old, policy.OK)
		time.Sleep(time.Minute)
		server.publish(t, old, fresh)
		got, _ := w.judge(t, fresh, nil)
		wantReason(t, got, policy.OK)
		wantEqual(t, "lookup", got.Lookup, token.LookupFound)
		w.want(t, old, policy.OK)
		w.wantFetches(t, 2)
	})
}

// TestUnknownKeyStorm is D6: one fetch per interval whatever is asked, all others
// answered at once.
func TestUnknownKeyStorm(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		lookups := map[token.Lookup]int{}
		for i := range 1000 {
			got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
			wantReason(t, got, policy.UnknownKey)
			lookups[got.Lookup]++
			time.Sleep(30 * time.Millisecond)
		}
		w.wantFetches(t, 1+3)
		wantEqual(t, "lookups", lookups, map[token.Lookup]int{token.LookupAbsent: 3, token.LookupSuppressed: 997})
	})
}

// TestStormInOneMoment: a thousand at once share one flight; those for whom there
// is no room are told to come again, not refused.
func TestStormInOneMoment(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.hang()
		time.Sleep(time.Minute)
		var reasons sync.Map
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
				count, _ := reasons.LoadOrStore(got.Reason, new(atomic.Int64))
				count.(*atomic.Int64).Add(1)
			})
		}
		synctest.Wait()
		w.want(t, key, policy.OK)
		all.Wait()
		for reason, want := range map[policy.Reason]int64{policy.UnknownKey: 256, policy.KeysUnavailable: 44} {
			count, _ := reasons.LoadOrStore(reason, new(atomic.Int64))
			wantEqual(t, string(reason), count.(*atomic.Int64).Load(), want)
		}
		w.wantFetches(t, 2)
	})
}

// TestAbsentKeyIsRemembered: a kid that was absent is asked for again after one
// interval and not before, so that naming the next key early delays it no longer.
func TestAbsentKeyIsRemembered(t *testing.T) {
	key, coming := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		for range 100 {
			w.want(t, coming, policy.UnknownKey)
			time.Sleep(99 * time.Millisecond)
		}
		w.wantFetches(t, 2)
		server.publish(t, key, coming)
		time.Sleep(200 * time.Millisecond)
		w.want(t, coming, policy.OK)
		w.wantFetches(t, 3)
	})
}

// TestManyAbsentKeys: four hundred names that nobody published cost one fetch in
// ten seconds, however often they come again.
func TestManyAbsentKeys(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		for range 5 {
			for i := range 400 {
				got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
				wantReason(t, got, policy.UnknownKey)
				time.Sleep(25 * time.Millisecond)
			}
		}
		w.wantFetches(t, 1+5)
	})
}

// TestClockSetBack: a set that was fetched in the future is as good as none.
func TestClockSetBack(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		wantKeys := func(clock time.Time, want int) {
			t.Helper()
			if got := w.v.State(clock)[0].Keys; got != want {
				t.Errorf("%v from now: %d keys in force, want %d", time.Until(clock), got, want)
			}
		}
		wantKeys(time.Now(), 1)
		wantKeys(time.Now().Add(-59*time.Second), 1)
		wantKeys(time.Now().Add(-61*time.Second), 0)
		wantKeys(time.Now().Add(-30*24*time.Hour), 0)
	})
}

// TestFailedRefetchBacksOff: an unknown kid does not hammer a broken server.
func TestFailedRefetchBacksOff(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	change := func(r *policy.RemoteJWKS) {
		r.CacheDuration, r.FailedRefetchDuration, r.UnknownKeyRefetchInterval = seconds(3600), seconds(30), seconds(1)
	}
	inWorld(t, server, change, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		for i := range 200 {
			got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
			wantReason(t, got, policy.UnknownKey)
			w.want(t, key, policy.OK)
			time.Sleep(500 * time.Millisecond)
		}
		w.wantFetches(t, 1+4)
	})
}

// TestRequestGivesUp: a client that leaves does not wait, and does not end the
// fetch of others.
func TestRequestGivesUp(t *testing.T) {
	key, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		time.Sleep(time.Minute)
		text, err := token.PublicJWKS([]token.Key{key, fresh})
		if err != nil {
			t.Fatal(err)
		}
		server.set(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			_, _ = w.Write(text)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, took := judgeBy(t, ctx, w.v, fresh, nil)
		wantReason(t, got, policy.UnknownKey)
		wantEqual(t, "waited", took, time.Second)
		got, took = w.judge(t, fresh, nil)
		wantReason(t, got, policy.OK)
		wantEqual(t, "waited", took, 2*time.Second)
		w.wantFetches(t, 2)
	})
}

// TestTokenNamesNoAddress is T7's other half: whatever a token says, only the
// configured address is asked.
func TestTokenNamesNoAddress(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "evil")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		for _, header := range []map[string]any{
			{"jku": "http://evil.example/jwks"},
			{"x5u": "http://evil.example/x5u"},
			{"kid": "http://evil.example/k"},
			{"kid": "evil", "iss": "http://evil.example"},
		} {
			got, _ := w.judge(t, foreign, header)
			wantReason(t, got, policy.UnknownKey)
			time.Sleep(time.Minute)
		}
		for _, address := range w.dialed() {
			if address != "id.example:80" {
				t.Errorf("asked %s", address)
			}
		}
		if len(w.dialed()) < 2 {
			t.Error("nothing was dialed: this test proves nothing")
		}
	})
}

// TestVerifyTogether: one verifier for many requests at once, while its keys
// change (for the race detector).
func TestVerifyTogether(t *testing.T) {
	own, fetched := generate(t, "HS256", ""), generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, fetched)
	change := func(r *policy.RemoteJWKS) { r.CacheDuration = seconds(1) }
	inWorld(t, server, change, func(t *testing.T, w *world) {
		hs := verifier(t, provider(t, "own", nil, own))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					w.want(t, fetched, policy.OK)
					got, _ := judgeBy(t, t.Context(), hs, own, nil)
					wantReason(t, got, policy.OK)
					_ = w.v.State(time.Now())
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}
