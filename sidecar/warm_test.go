package sidecar

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// TestWarmFigures prints what a token costs that was verified before, compared
// with HMAC-SHA256 of the bytes it signs (the goal is 2), and how much memory it
// takes (none). The ratio is that of the fastest of many short batches, taken in
// turns: the machine is noisy, and noise only adds.
func TestWarmFigures(t *testing.T) {
	g := start(t, setup{})
	text := mint(t, map[string]any{
		"sub": "8f14e45f-ceea-467f-a8d1-2f1f3a1b6f00", "iss": "https://id.example.com/agents", "aud": "https://chat.example.com",
		"email": "someone@example.com", "name": "Some One", "role": "teacher", "tenant_id": "t-0001",
		"scopes": []string{"agents:run", "sessions:read"}, "jti": "01J9Z3V9QK8W4N7X2C5B6D1E0F",
	})
	header := http.Header{"Authorization": {bearer(text)}}
	if got := g.do(http.MethodGet, "/x", nil, "Authorization", bearer(text)); got.status != http.StatusOK {
		t.Fatalf("the token is good for nothing: %d", got.status)
	}
	in, now := g.sidecar.current.Load(), time.Now()
	warm := func() {
		from, reason := in.extract(&query{header: header})
		if known, _ := in.remembered(&from, now); reason != "" || known.Reason != policy.OK {
			t.Fatalf("the token is not remembered: %q, %q", reason, known.Reason)
		}
	}
	mac, sum := hmac.New(sha256.New, []byte(testSecret)), make([]byte, 0, sha256.Size)
	signed := []byte(text[:strings.LastIndexByte(text, '.')])
	hash := func() {
		mac.Reset()
		_, _ = mac.Write(signed)
		sum = mac.Sum(sum[:0])
	}
	const rounds, calls = 200, 50
	remembered, hashed := time.Hour, time.Hour
	for range rounds {
		remembered, hashed = min(remembered, timed(calls, warm)), min(hashed, timed(calls, hash))
	}
	allocs := testing.AllocsPerRun(100, warm)
	fmt.Printf("figure: token_hs256_warm_over_hmac %.2f ratio\n", float64(remembered)/float64(hashed))
	fmt.Printf("figure: token_hs256_warm_allocs %.0f allocs\n", allocs)
	if allocs > 0 {
		t.Errorf("a token that is remembered costs %.0f allocations, want none", allocs)
	}
}

func timed(calls int, call func()) time.Duration {
	start := time.Now()
	for range calls {
		call()
	}
	return time.Since(start)
}
