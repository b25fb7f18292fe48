package token_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// benchClaims make a token of about 600 bytes, as a back end mints them.
func benchClaims() map[string]any {
	return claims(map[string]any{
		"sub": "8f14e45f-ceea-467f-a8d1-2f1f3a1b6f00", "iss": "https://id.example.com/agents", "aud": "https://chat.example.com",
		"email": "someone@example.com", "name": "Some One", "roles": []string{"admin", "teacher"},
		"scopes": []string{"agents:run", "sessions:read"}, "tenant_id": "t-0001", "jti": "01J9Z3V9QK8W4N7X2C5B6D1E0F",
	})
}

func benchVerifier(b testing.TB, alg string) (*token.Verifier, token.Raw, string) {
	b.Helper()
	key := generate(b, alg, "1-aaaaaaaaaa")
	v := verifier(b, provider(b, "own", func(p *token.Provider) { p.Audiences = []string{"https://chat.example.com"} }, key))
	text := mint(b, key, nil, benchClaims())
	raw, reason := token.Extract([]string{"Bearer " + text}, "Bearer ", 0)
	if reason != "" {
		b.Fatal(reason)
	}
	return v, raw, text
}

// BenchmarkVerify is the cost of a token that was never seen before.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			v, raw, _ := benchVerifier(b, alg)
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if got := v.Verify(ctx, raw, noon); got.Reason != policy.OK {
					b.Fatal(got.Reason)
				}
			}
		})
	}
}

// BenchmarkHMAC is the yardstick for HS256: the hash of the same bytes alone.
func BenchmarkHMAC(b *testing.B) {
	_, _, text := benchVerifier(b, "HS256")
	hash := bareHMAC(text)
	b.ReportAllocs()
	for b.Loop() {
		hash()
	}
}

func bareHMAC(text string) func() {
	mac := hmac.New(sha256.New, []byte(rand.Text()+rand.Text()))
	data := []byte(text[:strings.LastIndexByte(text, '.')])
	sum := make([]byte, 0, sha256.Size)
	return func() {
		mac.Reset()
		mac.Write(data)
		sum = mac.Sum(sum[:0])
	}
}

// BenchmarkRefuse is the cost of a token that is refused for its signature.
func BenchmarkRefuse(b *testing.B) {
	v, _, text := benchVerifier(b, "HS256")
	raw, _ := token.Extract([]string{resigned(text, make([]byte, 32))}, "", 0)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if got := v.Verify(ctx, raw, noon); got.Reason != policy.SignatureInvalid {
			b.Fatal(got.Reason)
		}
	}
}

// TestFigures prints how a cold HS256 token compares with its hash alone (the
// goal is 16), and how much memory it takes. The ratio is that of the fastest of
// many short batches, taken in turns: the machine is noisy, and noise only adds.
func TestFigures(t *testing.T) {
	v, raw, text := benchVerifier(t, "HS256")
	hash := bareHMAC(text)
	ctx := context.Background()
	judge := func() { v.Verify(ctx, raw, noon) }
	const rounds, calls = 200, 20
	verified, hashed := time.Hour, time.Hour
	for range rounds {
		verified, hashed = min(verified, timed(calls, judge)), min(hashed, timed(calls, hash))
	}
	fmt.Printf("figure: token_hs256_cold_over_hmac %.1f ratio\n", float64(verified)/float64(hashed))
	fmt.Printf("figure: token_hs256_cold_allocs %.0f allocs\n", testing.AllocsPerRun(100, judge))
}

func timed(calls int, call func()) time.Duration {
	start := time.Now()
	for range calls {
		call()
	}
	return time.Since(start)
}
