package bundle

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

const secret = "an HMAC secret of thirty-two bytes or more"

// document is a policy with one provider.
func document(p policy.Provider) manifest.Document {
	p.Name = "own"
	return manifest.Document{Name: "chat", Spec: policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{p}}}}
}

var (
	secrets = []policy.Algorithm{"HS256"}
	public  = []policy.Algorithm{"ES256"}
)

// remoteWithCA is a provider whose key server has a certificate of its own.
var remoteWithCA = policy.Provider{Algorithms: public, RemoteJWKS: &policy.RemoteJWKS{
	URI: "https://issuer.example/jwks", CABundleRef: &policy.CABundleRef{Name: "ca", Key: "ca.crt"},
}}

func publicSet(t *testing.T) string {
	t.Helper()
	key, err := token.Generate("ES256", constant{})
	if err != nil {
		t.Fatal(err)
	}
	key.KID = "k1"
	set, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

// authority is the PEM of a certificate that signs itself.
func authority(t *testing.T) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// constant is a source of bytes that makes keys reproducible.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i*7 + 1)
	}
	return len(p), nil
}

func TestDirectoryResolvesReferences(t *testing.T) {
	set := publicSet(t)
	for name, c := range map[string]struct {
		provider policy.Provider
		files    map[string]string
		kids     []string
		fails    string
		warns    string
	}{
		"a secret":                       {provider: policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current", "previous"}}}, files: map[string]string{"s/current": secret}, kids: []string{"current"}},
		"two secrets":                    {provider: policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current", "previous"}}}, files: map[string]string{"s/current": secret, "s/previous": secret + "2"}, kids: []string{"current", "previous"}},
		"no secret":                      {provider: policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current"}}}, files: map[string]string{"t/current": secret}, fails: "spec.jwt.providers[0].secretRef: no key found: create keys/s/current"},
		"a short secret":                 {provider: policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current"}}}, files: map[string]string{"s/current": "short"}, fails: "spec.jwt.providers[0].secretRef: keys/s/current: the secret is shorter"},
		"a secret short for one of two":  {provider: policy.Provider{Algorithms: []policy.Algorithm{"HS256", "HS512"}, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current"}}}, files: map[string]string{"s/current": secret}, fails: "the secret is shorter"},
		"a secret with a line break":     {provider: policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current"}}}, files: map[string]string{"s/current": secret + "\n"}, kids: []string{"current"}, warns: "ends in a line break"},
		"a signing key":                  {provider: policy.Provider{Algorithms: secrets, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}}, files: map[string]string{"k/current": secret, "k/current.kid": "2-abc\n", "k/next": secret + "3"}, kids: []string{"2-abc", "next"}},
		"a signing key of public keys":   {provider: policy.Provider{Algorithms: public, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}}, files: map[string]string{"k/jwks.json": set}, kids: []string{"k1"}},
		"a signing key without its file": {provider: policy.Provider{Algorithms: public, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}}, files: nil, fails: "signingKeyRef: no key set found: create keys/k/jwks.json"},
		"a ConfigMap":                    {provider: policy.Provider{Algorithms: public, LocalJWKS: &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "c", Key: "set"}}}, files: map[string]string{"c/set": set}, kids: []string{"k1"}},
		"an inline set":                  {provider: policy.Provider{Algorithms: public, LocalJWKS: &policy.LocalJWKS{Inline: set}}, kids: []string{"k1"}},
		"a set with one bad key":         {provider: policy.Provider{Algorithms: public, LocalJWKS: &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "c", Key: "set"}}}, files: map[string]string{"c/set": strings.Replace(set, `"keys":[`, `"keys":[{"kty":"RSA"},`, 1)}, kids: []string{"k1"}, warns: "left out"},
		"an empty set":                   {provider: policy.Provider{Algorithms: public, LocalJWKS: &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "c", Key: "set"}}}, files: map[string]string{"c/set": `{"keys":[]}`}, fails: "the key set is empty"},
		"certificates of one's own":      {provider: remoteWithCA, files: map[string]string{"ca/ca.crt": authority(t)}},
		"certificates that are missing":  {provider: remoteWithCA, fails: "spec.jwt.providers[0].remoteJWKS.caBundleRef: no certificates found: create keys/ca/ca.crt"},
		"certificates that are none":     {provider: remoteWithCA, files: map[string]string{"ca/ca.crt": "rubbish"}, fails: "spec.jwt.providers[0].remoteJWKS.caBundleRef: holds no certificate"},
		"a remote set":                   {provider: policy.Provider{Algorithms: public, RemoteJWKS: &policy.RemoteJWKS{URI: "https://issuer.example/jwks"}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{}
			for name, content := range c.files {
				files[name] = []byte(content)
			}
			snapshot, err := Load(document(c.provider), Directory("keys", files), Options{})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), secret) {
					t.Fatalf("error %v, want %q in it", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			state := snapshot.Verifier.State(time.Now())
			if diff := cmp.Diff(c.kids, state[0].KIDs); diff != "" {
				t.Errorf("key ids (-want +got)\n%s", diff)
			}
			if warned := strings.Contains(strings.Join(snapshot.Warnings, "\n"), c.warns); !warned {
				t.Errorf("warnings %q, want %q", snapshot.Warnings, c.warns)
			}
		})
	}
}

func TestLoadRefusesWhatIsNotBuiltYet(t *testing.T) {
	doc := document(policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}})
	doc.Spec.ProtectedResource = &policy.ProtectedResource{Resource: "https://chat.example"}
	_, err := Load(doc, Directory("keys", map[string][]byte{"s/k": []byte(secret)}), Options{})
	if !errors.Is(err, ErrNotSupportedYet) || !strings.Contains(err.Error(), "policy chat: NotSupportedYet: spec.protectedResource") {
		t.Errorf("%v", err)
	}
}

func TestLoadNamesWrongFields(t *testing.T) {
	doc := document(policy.Provider{Algorithms: []policy.Algorithm{"HS255"}, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}})
	var fields policy.Errors
	if _, err := Load(doc, Directory("keys", nil), Options{}); !errors.As(err, &fields) || !strings.Contains(err.Error(), "HS255") {
		t.Errorf("%v", err)
	}
}

func TestFile(t *testing.T) {
	doc := document(policy.Provider{Algorithms: secrets, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}})
	load := func(f keyring.File) (*Snapshot, error) {
		data, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := File(data)
		if err != nil {
			t.Fatal(err)
		}
		return Load(doc, keys, Options{})
	}
	good := keyring.File{
		Revision: 4, AckKey: []byte("ack"), SigningKeys: map[string]int64{"k": 9},
		Providers: map[string]keyring.FileProvider{"own": {MaxTokenLifetime: time.Minute, Keys: []keyring.VerifyKey{{KID: "9-a", Alg: "HS256", K: []byte("short, and the controller allowed it")[:20]}}}},
	}
	snapshot, err := load(good)
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{Revision: 4, Generations: map[string]int64{"k": 9}, KIDs: map[string][]string{"k": {"9-a"}}, AckKey: token.Secret("ack")}
	if diff := cmp.Diff(want, snapshot.Facts); diff != "" || snapshot.Verifier.State(time.Now())[0].Keys != 1 {
		t.Errorf("facts (-want +got)\n%s", diff)
	}
	none := good
	none.Providers = map[string]keyring.FileProvider{"own": {}}
	if snapshot, err = load(none); err != nil || snapshot.Verifier.State(time.Now())[0].Keys != 0 {
		t.Errorf("a provider whose keys are all revoked: %v", err)
	}
	none.Providers = map[string]keyring.FileProvider{"other": {}}
	if _, err = load(none); err == nil || !strings.Contains(err.Error(), `no keys for provider "own"`) {
		t.Errorf("a provider that keys.json does not know: %v", err)
	}
	doc, none.Providers = document(remoteWithCA), map[string]keyring.FileProvider{"own": {CABundle: authority(t)}}
	if _, err = load(none); err != nil {
		t.Errorf("certificates of one's own: %v", err)
	}
	none.Providers = nil
	if _, err = load(none); err == nil || !strings.Contains(err.Error(), `remoteJWKS.caBundleRef: keys.json has no certificates for provider "own"`) {
		t.Errorf("certificates that keys.json does not know: %v", err)
	}
	if _, err := File([]byte(`{"version": 2}`)); err == nil {
		t.Error("another version was read")
	}
}
