package token_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// keptIn are the files of a state directory.
func keptIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRestartWhileTheServerIsDown is D8 over the end of a process.
func TestRestartWhileTheServerIsDown(t *testing.T) {
	keys := []token.Key{generate(t, "ES256", "k1"), generate(t, "EdDSA", "k2"), generate(t, "ES512", "")}
	server := &keyServer{dir: t.TempDir()}
	server.publish(t, keys...)
	change := func(r *policy.RemoteJWKS) { r.MaxStale = seconds(3600) }
	inWorld(t, server, change, func(t *testing.T, w *world) {
		w.want(t, keys[0], policy.OK)
		since := w.v.State(time.Now())[0].LastSuccess
		server.hang()
		time.Sleep(30 * time.Minute)
		w.begin(t)
		for _, key := range keys[:2] {
			got, took := w.judge(t, key, nil)
			wantReason(t, got, policy.OK)
			wantEqual(t, "waited", took, time.Duration(0))
		}
		if told := <-w.kept; told.Err != nil || told.Keys != 3 || told.Providers[0] != "id" || !told.At.Equal(since.Truncate(time.Second)) {
			t.Errorf("told %+v, want 3 keys of %v", told, since)
		}
		got, _ := w.judge(t, generate(t, "ES256", "k9"), nil)
		wantReason(t, got, policy.UnknownKey)
		time.Sleep(29 * time.Minute)
		w.want(t, keys[0], policy.OK)
		time.Sleep(2 * time.Minute)
		w.want(t, keys[0], policy.KeysUnavailable)
		w.begin(t)
		w.want(t, keys[0], policy.KeysUnavailable)
		if told := <-w.kept; told.Err == nil || !strings.Contains(told.Err.Error(), "maxStale") {
			t.Errorf("told %+v of a stale set", told)
		}
		server.publish(t, keys[1])
		time.Sleep(10 * time.Second)
		w.want(t, keys[1], policy.OK)
		server.hang()
		w.begin(t)
		w.want(t, keys[0], policy.UnknownKey)
	})
}

// TestKeptFileHoldsNothingElse: what is written, how, and that it names nobody.
func TestKeptFileHoldsNothingElse(t *testing.T) {
	key, other := generate(t, "RS256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{dir: t.TempDir()}
	text, err := json.Marshal(map[string]any{"keys": []any{
		jwkWith(t, key, map[string]any{"x5c": []string{"certificate"}, "note": "by the way"}),
		public(t, other).JWK,
		map[string]any{"kty": "oct", "kid": "s", "k": "AAAA"},
		jwkWith(t, other, map[string]any{"kid": "p", "d": "AAAA"}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	server.say(string(text))
	change := func(r *policy.RemoteJWKS) { r.URI = "http://id.example/jwks?key=hidden" }
	inWorld(t, server, change, func(t *testing.T, w *world) {
		synctest.Wait()
		files := keptIn(t, server.dir)
		if len(files) != 1 {
			t.Fatalf("files %q, want one", files)
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "mode", info.Mode(), os.FileMode(0o600))
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, unwanted := range []string{"hidden", "id.example", "oct", `"k"`, `"d"`, "certificate", "by the way"} {
			if bytes.Contains(data, []byte(unwanted)) || strings.Contains(files[0], unwanted) {
				t.Errorf("%s holds %q:\n%s", files[0], unwanted, data)
			}
		}
	})
}

// TestKeptSetIsReadStrictly: what was not written just so is ignored, and said;
// the next fetch heals it.
func TestKeptSetIsReadStrictly(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	replace := func(old, fresh string) func(*testing.T, string) {
		return rewrite(func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(fresh), 1) })
	}
	private, err := json.Marshal(foreign.JWK)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*testing.T, string){
		"cut off":              rewrite(func(data []byte) []byte { return data[:len(data)/2] }),
		"empty":                rewrite(func([]byte) []byte { return nil }),
		"rubbish":              rewrite(func([]byte) []byte { return []byte("rubbish") }),
		"with text behind":     rewrite(func(data []byte) []byte { return append(data, "{}"...) }),
		"of a mebibyte":        rewrite(func(data []byte) []byte { return append(data, bytes.Repeat([]byte(" "), 1<<20)...) }),
		"of another version":   replace(`"version":"1"`, `"version":"2"`),
		"of another address":   replace(`"feed":"`, `"feed":"0`),
		"from the future":      replace(`"fetchedAt":"2`, `"fetchedAt":"3`),
		"without a time":       replace(`"fetchedAt"`, `"fetched"`),
		"without keys":         replace(`"jwks"`, `"set"`),
		"with no key":          rewrite(func([]byte) []byte { return []byte(`{"jwks":{"keys":[]}}`) }),
		"with a secret":        replace(`"keys":[`, `"keys":[{"kty":"oct","kid":"s","k":"AAAA"},`),
		"with a private key":   replace(`"keys":[`, `"keys":[`+string(private)+`,`),
		"that others may edit": func(t *testing.T, file string) { t.Helper(); must(t, os.Chmod(file, 0o666)) },
		"with a second name":   func(t *testing.T, file string) { t.Helper(); must(t, os.Link(file, file+".too")) },
		"that is a link": func(t *testing.T, file string) {
			t.Helper()
			must(t, os.Rename(file, file+".real"))
			must(t, os.Symlink(file+".real", file))
		},
		"that is a directory": func(t *testing.T, file string) {
			t.Helper()
			must(t, os.Remove(file))
			must(t, os.Mkdir(file, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &keyServer{dir: t.TempDir()}
			server.publish(t, key)
			inWorld(t, server, nil, func(t *testing.T, w *world) {
				w.want(t, key, policy.OK)
				server.set(nil)
				w.begin(t)
				w.want(t, key, policy.OK)
				if told := <-w.kept; told.Err != nil {
					t.Fatalf("the twin: %v", told.Err)
				}
				spoil(t, keptIn(t, server.dir)[0])
				w.begin(t)
				w.want(t, key, policy.KeysUnavailable)
				w.want(t, foreign, policy.KeysUnavailable)
				if told := <-w.kept; told.Err == nil || told.Keys != 0 {
					t.Errorf("told %+v", told)
				}
				server.publish(t, key)
				time.Sleep(10 * time.Second)
				w.want(t, key, policy.OK)
			})
		})
	}
}

// TestKeptSetOfAnotherUserIsIgnored: in a pod everyone may make files in the
// directory; who writes a set there chooses the keys.
func TestKeptSetOfAnotherUserIsIgnored(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can give a file to another user; run this test as root")
	}
	key := generate(t, "ES256", "k1")
	server := &keyServer{dir: t.TempDir()}
	must(t, os.Chmod(server.dir, 0o777))
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		w.begin(t)
		w.want(t, key, policy.OK)
		if told := <-w.kept; told.Err != nil {
			t.Fatalf("the twin in a directory that everyone may write: %v", told.Err)
		}
		must(t, os.Chown(keptIn(t, server.dir)[0], 12345, 0))
		w.begin(t)
		w.want(t, key, policy.KeysUnavailable)
		if told := <-w.kept; told.Err == nil || !strings.Contains(told.Err.Error(), "another user") {
			t.Errorf("told %+v", told)
		}
		server.publish(t, key)
		time.Sleep(10 * time.Second)
		w.want(t, key, policy.OK)
		server.set(nil)
		w.begin(t)
		w.want(t, key, policy.OK)
	})
}

func rewrite(change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		t.Helper()
		data, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(file, change(data), 0o600))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnwritableSetIsNotKept: an older set may hold keys that are gone.
func TestUnwritableSetIsNotKept(t *testing.T) {
	old, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{dir: t.TempDir()}
	server.publish(t, old, fresh)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, old, policy.OK)
		synctest.Wait()
		obstacle := keptIn(t, server.dir)[0] + ".new"
		must(t, os.MkdirAll(filepath.Join(obstacle, "full"), 0o700))
		server.publish(t, fresh)
		time.Sleep(6 * time.Minute)
		if told := <-w.kept; told.Err == nil {
			t.Error("nobody was told")
		}
		w.want(t, fresh, policy.OK)
		server.set(nil)
		w.begin(t)
		w.want(t, old, policy.KeysUnavailable)
		wantEqual(t, "files", keptIn(t, server.dir), []string{obstacle})
	})
}

// TestStateDirectoryIsBounded: policies come and go, files do not pile up, and a
// set belongs to its address and to how far the network is trusted.
func TestStateDirectoryIsBounded(t *testing.T) {
	document, err := token.PublicJWKS([]token.Key{generate(t, "ES256", "k1")})
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	defer server.Close()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "somebody's"), nil, 0o600))
	for i := range 20 {
		fetchOnce(t, token.RemotesConfig{StateDir: dir}, insecure(fmt.Sprintf("%s/%d", server.URL, i)))
		files := keptIn(t, dir)
		if len(files) > 17 || !slices.Contains(files, filepath.Join(dir, "somebody's")) {
			t.Fatalf("after %d addresses: files %q", i+1, files)
		}
	}
	if len(keptIn(t, dir)) != 17 {
		t.Errorf("files %q, want 16 and another's", keptIn(t, dir))
	}
}
