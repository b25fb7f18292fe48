package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

const podDocument = `{"apiVersion":"gatepost.dev/v1alpha1","kind":"TokenIssuer","metadata":{"name":"auth","namespace":"agents"},"spec":{
"issuer":"{issuer}","signingKeyRef":{"name":"agent"},"audiences":["https://chat.example"],"grants":["Session"],
"session":{"anonymous":{"rateLimit":"60000/m"}},"rateLimit":{"perIP":"10000/s"}}}`

// pod is a mounted bundle and what is to be in it next.
type pod struct {
	*world

	mounts int
	keys   keyring.File
	signer keyring.SignerFile
	public map[string]keyring.VerifyKey
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{world: &world{t: t, dir: t.TempDir(), log: &logBuffer{}}, public: map[string]keyring.VerifyKey{}}
	p.keys = keyring.File{AckKey: keyring.Octets("ack"), SigningKeys: map[string]int64{}}
	p.signer = keyring.SignerFile{SigningKey: "agent", Algorithm: "ES256", MaxTokenLifetime: 15 * time.Minute}
	return p
}

// start runs the issuer of the pod.
func (p *pod) start(minRevision int64) {
	p.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.url = "http://" + listener.Addr().String()
	if p.issuer, err = New(Config{
		BundleDir: filepath.Join(p.dir, "bundle"), Listener: listener, Admin: "127.0.0.1:0", PodUID: "uid-1", MinRevision: minRevision,
		Log: slog.New(slog.NewJSONHandler(p.log, nil)), DrainTimeout: 5 * time.Second,
	}); err != nil {
		p.t.Fatal(err)
	}
}

// signs makes a fresh key the signing one and shows those given beside it; an
// empty id: nobody may sign.
func (p *pod) signs(kid string, shown ...string) {
	p.t.Helper()
	p.signer.KID, p.signer.Value, p.signer.Publish = kid, nil, nil
	for _, id := range append([]string{kid}, shown...) {
		if id == "" {
			continue
		}
		if _, ok := p.public[id]; !ok || id == kid {
			key := generate(p.t, "ES256", id)
			public, err := token.PublicJWK(key)
			if err != nil {
				p.t.Fatal(err)
			}
			p.public[id] = keyring.VerifyKey{KID: id, Alg: "ES256", JWK: public}
			if text, err := token.PrivatePEM(key); err == nil && id == kid {
				p.signer.Value = text
			}
		}
		p.signer.Publish = append(p.signer.Publish, p.public[id])
	}
}

// mount swaps the bundle for one of a revision, as a kubelet does.
func (p *pod) mount(revision int64) {
	p.t.Helper()
	p.keys.Revision, p.keys.SigningKeys["agent"] = revision, revision
	files := map[string][]byte{issuing.DocumentKey: []byte(strings.ReplaceAll(podDocument, "{issuer}", p.url))}
	var err, signerErr error
	files[issuing.KeysKey], err = p.keys.Marshal()
	files[issuing.SignerKey], signerErr = p.signer.Marshal()
	if err = errors.Join(err, signerErr); err != nil {
		p.t.Fatal(err)
	}
	p.mountFiles(files)
}

func (p *pod) mountFiles(files map[string][]byte) {
	p.t.Helper()
	dir := filepath.Join(p.dir, "bundle")
	p.mounts++
	version := fmt.Sprintf("..v%d", p.mounts)
	for name, content := range files {
		p.write(filepath.Join("bundle", version, name), string(content))
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err != nil {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(dir, "..data"))); err != nil {
		p.t.Fatal(err)
	}
}

// state asks as the controller does.
func (p *pod) state() bundle.State {
	p.t.Helper()
	response, err := http.Get(p.admin() + "/state?nonce=n1")
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var state bundle.State
	if response.StatusCode != http.StatusOK {
		return state
	}
	if err := json.NewDecoder(response.Body).Decode(&state); err != nil {
		p.t.Fatal(err)
	}
	if !state.Verify(token.Secret("ack"), "n1") || state.PodUID != "uid-1" {
		p.t.Fatalf("the state is not signed: %+v", state)
	}
	return state
}

func (p *pod) inForce(revision int64) {
	p.t.Helper()
	p.await(fmt.Sprintf("revision %d is in force", revision), func() bool { return p.state().Revision == revision })
}

func TestAPodProvesWhatItSignsWith(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	p.start(3)
	p.signs("3-a", "2-z")
	p.mount(3)
	p.run()
	state := p.state()
	if state.Signs["agent"] != "3-a" || state.Generations["agent"] != 3 || strings.Join(state.KIDs["agent"], " ") != "2-z 3-a" {
		t.Errorf("state %+v", state)
	}
	if header := headerOf(t, p.do("POST", "/api/get-token", "").get("token")); header["kid"] != "3-a" {
		t.Errorf("signs with %v", header)
	}
	p.signs("4-b", "3-a")
	p.mount(4)
	p.inForce(4)
	if state := p.state(); state.Signs["agent"] != "4-b" {
		t.Errorf("state %+v", state)
	}
	p.keys.Revoked = map[string][]string{"agent": {"4-b"}}
	p.signs("", "3-a")
	p.mount(5)
	p.inForce(5)
	got := p.do("POST", "/api/get-token", "")
	if state := p.state(); len(state.Signs) > 0 || got.status != 503 || got.header.Get("Retry-After") == "" || got.get("error") != "temporarily_unavailable" {
		t.Errorf("nobody may sign, and %+v, %d %s", state, got.status, got.text)
	}
	if got := p.do("GET", "/.well-known/jwks.json", ""); got.status != 200 || !strings.Contains(got.text, "3-a") || !p.issuer.health.Ready() {
		t.Errorf("keys are shown all the same: %d %s", got.status, got.text)
	}
	p.signs("6-c", "3-a")
	p.mount(6)
	p.inForce(6)
	if got := p.do("POST", "/api/get-token", ""); got.status != 200 {
		t.Errorf("with a fresh key: %d %s", got.status, got.text)
	}
}

func TestAPodTakesNothingOlder(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	p.start(3)
	p.signs("2-a")
	p.mount(2)
	p.runUnready()
	if got := p.do("POST", "/api/get-token", "", "Origin", appOrigin); got.status != 503 || got.header.Get("Retry-After") == "" || got.get("detail") != "Authentication temporarily unavailable" {
		t.Errorf("before anything is in force: %d %s", got.status, got.text)
	}
	p.mount(3)
	p.inForce(3)
	p.signs("5-b")
	p.mount(5)
	p.inForce(5)
	p.signs("4-c")
	p.mount(4)
	p.await("the older one is refused", func() bool { return strings.Contains(p.log.String(), "an older state of the cluster, such as") })
	p.mountFiles(map[string][]byte{issuing.DocumentKey: []byte("{"), issuing.KeysKey: []byte("{"), issuing.SignerKey: []byte("secret")})
	p.await("the broken one is refused", func() bool { return strings.Count(p.log.String(), "reload refused") >= 2 })
	if state := p.state(); state.Revision != 5 || state.Signs["agent"] != "5-b" {
		t.Errorf("the last good one is not in force: %+v", state)
	}
	if got := p.do("POST", "/api/get-token", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
}

// runUnready runs an issuer that has nothing to put into force yet.
func (p *pod) runUnready() {
	p.t.Helper()
	p.runUntil(func() bool { return p.admin() != "" })
	if p.issuer.health.Ready() {
		p.t.Error("ready before anything is in force")
	}
}

// A request that came before a rotation is answered, with the key that the state
// names by then: the old one may be out of every verifier when its token is used.
func TestARequestFromBeforeARotationIsSignedWithTheNewKey(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	body := formOf("grant_type", "client_credentials")
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", basic("crm", w.client.Reveal()))
	recorder := httptest.NewRecorder()
	before := newExchange(recorder, request, w.issuer.current.Load(), time.Now())
	w.rotate("2-bbbbbbbbbb", nil)
	w.await("the new key is in force", func() bool { return w.issuer.current.Load().Signer.Key.KID == "2-bbbbbbbbbb" })
	w.issuer.serve(before)
	var got tokenAnswer
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil || recorder.Code != http.StatusOK {
		t.Fatalf("%d %v", recorder.Code, err)
	}
	if kid := headerOf(t, got.AccessToken)["kid"]; kid != "2-bbbbbbbbbb" {
		t.Errorf("signed with %v", kid)
	}
}

// A rotation under load: no request is refused, each token is of a key that was
// shown, and once the state names a key no token is signed with another.
func TestRotationRefusesNothingAndIsProved(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	p.start(1)
	p.signs("1-k")
	p.mount(1)
	p.run()
	var proved, minted, refused, late atomic.Int64
	proved.Store(1)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := proved.Load()
				got := p.do("POST", "/api/get-token", "")
				if got.status != 200 {
					refused.Add(1)
					continue
				}
				minted.Add(1)
				var generation int64
				if _, err := fmt.Sscanf(headerOf(t, got.get("token"))["kid"].(string), "%d-k", &generation); err != nil || generation < before {
					late.Add(1)
				}
			}
		})
	}
	for revision := int64(2); revision <= 20; revision++ {
		p.signs(fmt.Sprintf("%d-k", revision), fmt.Sprintf("%d-k", revision-1))
		p.mount(revision)
		p.await("the new key is proved", func() bool { return p.state().Signs["agent"] == fmt.Sprintf("%d-k", revision) })
		proved.Store(revision)
	}
	close(stop)
	group.Wait()
	t.Logf("figure: issuer_rotation_refused %d requests", refused.Load())
	t.Logf("figure: issuer_signed_with_an_old_key %d tokens", late.Load())
	if refused.Load() > 0 || late.Load() > 0 || minted.Load() < 20 {
		t.Errorf("%d tokens in 19 rotations, %d requests refused, %d signed with a key after its successor was proved", minted.Load(), refused.Load(), late.Load())
	}
}
