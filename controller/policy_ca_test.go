package controller

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// Certificate is the PEM of a certificate that signs itself.
func Certificate(t *testing.T, serial int64) string {
	t.Helper()
	return certificate(t, &x509.Certificate{SerialNumber: big.NewInt(serial), IsCA: true, BasicConstraintsValid: true})
}

// LargeCertificate is one of about a kilobyte of PEM.
func LargeCertificate(t *testing.T, serial int64) string {
	t.Helper()
	return certificate(t, &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{strings.Repeat("x", 400)}})
}

func certificate(t *testing.T, template *x509.Certificate) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCertificatesOfAKeyServer(t *testing.T) {
	t.Parallel()
	const field = "spec.jwt.providers[0].remoteJWKS.caBundleRef: "
	old, fresh := Certificate(t, 1), Certificate(t, 2)
	kept := &keyring.File{Providers: map[string]keyring.FileProvider{"p": {CABundle: old}}}
	keys := &keyring.File{Providers: map[string]keyring.FileProvider{"p": {Keys: []keyring.VerifyKey{{KID: "a", Alg: "HS256", K: []byte(goodSecret)}}}}}
	configMap := func(text string) sources {
		return sources{configMaps: map[string]*corev1.ConfigMap{"ca": {Data: map[string]string{"ca.crt": text}}}}
	}
	secret := sources{secrets: map[string]*corev1.Secret{"ca": {Data: map[string][]byte{"ca.crt": []byte(fresh)}}}}
	for sentence, test := range map[string]struct {
		kind, name string
		from       sources
		last       *keyring.File
		bundle     string
		reason     string
		says       string
	}{
		"those of a ConfigMap":                        {"", "ca", configMap(fresh), nil, fresh, "", ""},
		"new ones replace the last":                   {"ConfigMap", "ca", configMap(fresh), kept, fresh, "", ""},
		"those of a Secret":                           {"Secret", "ca", secret, nil, fresh, "", ""},
		"a Secret is no ConfigMap":                    {"", "ca", secret, nil, "", v1alpha1.ReasonConfigMapNotFound, "there is no ConfigMap ca: create it with the certificates in ca.crt"},
		"a ConfigMap is no Secret":                    {"Secret", "ca", configMap(fresh), nil, "", v1alpha1.ReasonSecretNotFound, "there is no Secret ca"},
		"without the key there are none":              {"", "ca", sources{configMaps: map[string]*corev1.ConfigMap{"ca": {}}}, nil, "", v1alpha1.ReasonConfigMapKeyNotFound, "ConfigMap ca has no key ca.crt"},
		"a Secret without the key":                    {"Secret", "ca", sources{secrets: map[string]*corev1.Secret{"ca": {}}}, nil, "", v1alpha1.ReasonSecretKeyNotFound, "Secret ca has no key ca.crt"},
		"rubbish is named":                            {"", "ca", configMap("rubbish"), nil, "", v1alpha1.ReasonInvalidCABundle, "key ca.crt of ConfigMap ca holds no certificate"},
		"a private key is named":                      {"", "ca", configMap(fresh + "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"), nil, "", v1alpha1.ReasonInvalidCABundle, `holds a block "EC PRIVATE KEY"`},
		"rubbish keeps the last ones":                 {"", "ca", configMap("rubbish"), kept, old, v1alpha1.ReasonInvalidCABundle, "holds no certificate"},
		"a ConfigMap that is gone keeps the last":     {"", "ca", sources{}, kept, old, v1alpha1.ReasonConfigMapNotFound, "there is no ConfigMap"},
		"keys of an earlier kind are no certificates": {"", "ca", sources{}, keys, "", v1alpha1.ReasonConfigMapNotFound, "there is no ConfigMap"},
		"Gatepost's own Secrets hold none":            {"Secret", "chat.gatepost-bundle", secret, nil, "", v1alpha1.ReasonSecretNotFound, "is Gatepost's own"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			spec := policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{{
				Name: "p", Algorithms: []policy.Algorithm{"ES256"}, RemoteJWKS: &policy.RemoteJWKS{
					URI: "https://idp.example/jwks", CABundleRef: &policy.CABundleRef{Kind: test.kind, Name: test.name, Key: "ca.crt"},
				},
			}}}}
			got := resolve(spec, test.from, written{file: test.last, doc: &manifest.Document{Spec: spec}})
			if bundle := got.providers["p"].CABundle; bundle != test.bundle || len(got.providers["p"].Keys) > 0 {
				t.Errorf("certificates %q, want %q", bundle, test.bundle)
			}
			if got.keyless() != (test.bundle == "") {
				t.Errorf("keyless %v: %+v", got.keyless(), got.problems)
			}
			if reason := reasonOf(got.problems); reason != test.reason {
				t.Errorf("reason %q, want %q", reason, test.reason)
			}
			if test.says != "" && !strings.HasPrefix(got.problems[0].message, field) || test.says != "" && !strings.Contains(got.problems[0].message, test.says) {
				t.Errorf("message %q, want %q", got.problems[0].message, test.says)
			}
		})
	}
}

func TestAProviderThatWasRemoteHasNoKeys(t *testing.T) {
	t.Parallel()
	last := &keyring.File{Providers: map[string]keyring.FileProvider{"p": {CABundle: Certificate(t, 1)}}}
	was := document(1, "missing")
	got := resolve(was.Spec, sources{}, written{file: last, doc: was})
	if _, found := got.providers["p"]; found || !got.keyless() {
		t.Errorf("it is given certificates for keys: %+v", got)
	}
}
