package token_test

import (
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestBrokenRefreshKeepsTheLastGoodSet is the second half of D8, and rule 2.
func TestBrokenRefreshKeepsTheLastGoodSet(t *testing.T) {
	key := generate(t, "ES256", "k1")
	for name, broken := range map[string]func(*keyServer){
		"500":             func(s *keyServer) { s.set(nil) },
		"rubbish":         func(s *keyServer) { s.say(`{"keys":[{"kty":"RSA"}]}`) },
		"an empty set":    func(s *keyServer) { s.say(`{"keys":[]}`) },
		"a symmetric set": func(s *keyServer) { s.say(`{"keys":[{"kty":"oct","kid":"k1","k":"AAAA"}]}`) },
		"silence":         func(s *keyServer) { s.hang() },
	} {
		t.Run(name, func(t *testing.T) {
			server := &keyServer{}
			server.publish(t, key)
			change := func(r *policy.RemoteJWKS) { r.MaxStale = seconds(3600) }
			inWorld(t, server, change, func(t *testing.T, w *world) {
				w.want(t, key, policy.OK)
				since := w.v.State(time.Now())[0].LastSuccess
				broken(server)
				time.Sleep(3590 * time.Second)
				w.want(t, key, policy.OK)
				wantEqual(t, "last success", w.v.State(time.Now())[0].LastSuccess, since)
				time.Sleep(11 * time.Second)
				w.want(t, key, policy.KeysUnavailable)
				wantEqual(t, "keys", w.v.State(time.Now())[0].Keys, 0)
				server.publish(t, key)
				time.Sleep(20 * time.Second)
				w.want(t, key, policy.OK)
			})
		})
	}
}

// TestRemovedKeyGoes is the first half of D8.
func TestRemovedKeyGoes(t *testing.T) {
	old, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, old, fresh)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, old, policy.OK)
		server.publish(t, fresh)
		time.Sleep(4 * time.Minute)
		w.want(t, old, policy.OK)
		time.Sleep(2 * time.Minute)
		w.want(t, old, policy.UnknownKey)
		w.want(t, fresh, policy.OK)
	})
}

// TestReloadKeepsTheSet: a new policy with the same address does not begin anew;
// one without it ends the fetching.
func TestReloadKeepsTheSet(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		often := spec()
		often.CacheDuration = seconds(60)
		next := verifier(t,
			remoteProvider(t, w.remotes, "first", often), remoteProvider(t, w.remotes, "second", spec()))
		got, _ := judgeBy(t, t.Context(), next, key, nil)
		wantReason(t, got, policy.OK)
		w.remotes.Use(next)
		w.wantFetches(t, 1)
		time.Sleep(65 * time.Second)
		w.wantFetches(t, 2)

		w.remotes.Use(verifier(t, provider(t, "static", nil, key)))
		before := w.server.fetches.Load()
		time.Sleep(time.Hour)
		w.wantFetches(t, before)
		got, _ = judgeBy(t, t.Context(), next, generate(t, "ES256", "k9"), nil)
		wantReason(t, got, policy.UnknownKey)
	})
}

// TestFetchesAreReported: what metrics and logs are told.
func TestFetchesAreReported(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		first := <-w.fetches
		if first.Result != token.FetchOK || first.Err != nil || first.Keys != 1 || first.Providers[0] != "id" || !first.At.Equal(time.Now()) {
			t.Errorf("first fetch = %+v", first)
		}
		server.set(nil)
		time.Sleep(6 * time.Minute)
		second := <-w.fetches
		if second.Result != token.FetchStatus || second.Err == nil || second.Keys != 0 {
			t.Errorf("second fetch = %+v", second)
		}
		server.publish(t, key)
		time.Sleep(time.Minute)
		last := second
		for last.Result != token.FetchOK {
			last = <-w.fetches
		}
		if first.Recovered || second.Recovered || !last.Recovered {
			t.Errorf("recovered = %v, %v, %v: want only the last", first.Recovered, second.Recovered, last.Recovered)
		}
		wantEqual(t, "state", w.v.State(time.Now()), []token.ProviderState{
			{Name: "id", Keys: 1, KIDs: []string{"k1"}, Remote: true, LastSuccess: last.At},
		})
	})
}

// TestSourceRefuses: addresses that are wrong in themselves.
func TestSourceRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		spec policy.RemoteJWKS
		ok   bool
	}{
		"https":                    {policy.RemoteJWKS{URI: keysURI}, true},
		"http where it is allowed": {policy.RemoteJWKS{URI: "http://id.example/jwks", AllowInsecureHTTP: true}, true},
		"http":                     {policy.RemoteJWKS{URI: "http://id.example/jwks"}, false},
		"a file":                   {policy.RemoteJWKS{URI: "file:///etc/passwd", AllowInsecureHTTP: true}, false},
		"a user":                   {policy.RemoteJWKS{URI: "https://u:p@id.example/jwks"}, false},
		"no host":                  {policy.RemoteJWKS{URI: "https:///jwks"}, false},
		"nothing":                  {policy.RemoteJWKS{}, false},
		"certificates not found":   {policy.RemoteJWKS{URI: keysURI, CABundleRef: &policy.CABundleRef{Name: "c", Key: "k"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, remotes := range []*token.Remotes{nil, token.NewRemotes(token.RemotesConfig{})} {
				if _, err := remotes.Source("id", tc.spec, nil); (err == nil) != tc.ok {
					t.Errorf("error = %v, want ok %v", err, tc.ok)
				}
			}
		})
	}
	t.Run("without a registry nothing is fetched and nothing verified", func(t *testing.T) {
		v := verifier(t, remoteProvider(t, nil, "id", spec()))
		got, _ := judgeBy(t, t.Context(), v, generate(t, "ES256", "k1"), nil)
		wantReason(t, got, policy.KeysUnavailable)
	})
}
