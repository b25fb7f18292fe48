package jwks_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/token"
)

// want sends a token and compares the answer.
func (s *stand) want(t *testing.T, path, text string, want int) {
	if got := s.send(t, path, text); got != want {
		t.Errorf("%s: %d, want %d (issuer %s)", path, got, want, issuerOf(text))
	}
}

func (s *stand) send(t *testing.T, path, text string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.sidecar.URL+path, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+text)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// rss reads a size of the sidecar's process, in MB.
func (s *stand) rss(t *testing.T, name string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.sidecar.PID))
	if err != nil {
		t.Skipf("SKIPPED: this test reads /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err == nil {
				return kilobytes / 1000
			}
		}
	}
	t.Errorf("%s is not in /proc/%d/status", name, s.sidecar.PID)
	return 0
}

func generate(t *testing.T, kid string) token.Key {
	t.Helper()
	key, err := token.Generate("ES256", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.KID = kid
	return key
}

func hmacKey() token.Key { return token.Key{Alg: "HS256", K: token.Secret(secret)} }

// serial makes every token another, so that none is recalled.
var serial atomic.Int64

func mint(t *testing.T, key token.Key, issuer string) string {
	now := time.Now().Unix()
	text, err := token.Mint(key, nil, map[string]any{
		"sub": "user-1", "iss": issuer, "aud": "agent", "iat": now, "exp": now + 60, "jti": strconv.FormatInt(serial.Add(1), 36),
	})
	if err != nil {
		t.Error(err)
	}
	return text
}

func issuerOf(text string) string {
	parts := strings.Split(text, ".")
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return string(claims)
}
