package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/keyring"
)

// apiServer plays what an API server shows of its service accounts.
type apiServer struct {
	about, keys string
	err         error
	asked       int
}

func (s *apiServer) get(_ context.Context, path string) ([]byte, error) {
	s.asked++
	if path == discoveryPath {
		return []byte(s.about), s.err
	}
	return []byte(s.keys), s.err
}

const accountsJWKS = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

func TestKeysOfServiceAccountsAreReadNowAndThen(t *testing.T) {
	t.Parallel()
	server := &apiServer{about: `{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://10.0.0.1/openid/v1/jwks"}`, keys: accountsJWKS}
	now := noon
	keys := &clusterKeys{get: server.get, now: func() time.Time { return now }}
	text, again, err := keys.document(t.Context())
	if err != nil || again != accountKeysFresh {
		t.Fatalf("again in %s, %v", again, err)
	}
	if file, err := keyring.ParseServiceAccounts(text); err != nil || file.Issuer != "https://kubernetes.default.svc" {
		t.Errorf("issuer %q, %v", file.Issuer, err)
	}
	now = now.Add(time.Minute)
	if _, again, _ := keys.document(t.Context()); server.asked != 2 || again != accountKeysFresh-time.Minute {
		t.Errorf("asked %d times, again in %s", server.asked, again)
	}
	server.err = errors.New("forbidden")
	now = now.Add(accountKeysFresh)
	kept, again, err := keys.document(t.Context())
	if string(kept) != string(text) || again != accountKeysPause || err == nil || !strings.Contains(err.Error(), "openid-configuration of the API server: forbidden") {
		t.Errorf("kept %d bytes, again in %s, %v", len(kept), again, err)
	}
}

func TestWhatIsNoKeySetOfServiceAccountsIsAnError(t *testing.T) {
	t.Parallel()
	const about = `{"issuer":"https://kubernetes.default.svc"}`
	for sentence, test := range map[string]struct {
		server apiServer
		says   string
	}{
		"no issuer":     {apiServer{about: `{}`, keys: accountsJWKS}, "it names no issuer"},
		"no document":   {apiServer{about: `<html>`, keys: accountsJWKS}, "it names no issuer"},
		"no key set":    {apiServer{about: about, keys: `<html>`}, "it holds no usable key"},
		"no usable key": {apiServer{about: about, keys: `{"keys":[{"kty":"oct","k":"AAAA"}]}`}, "it holds no usable key"},
	} {
		keys := &clusterKeys{get: test.server.get, now: func() time.Time { return noon }}
		text, _, err := keys.document(t.Context())
		if text != nil || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %q, %v", sentence, text, err)
		}
	}
}
