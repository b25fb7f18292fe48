package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Trace judges a token as Verify does and keeps what each provider that was
// asked found, in the order in which they were. Verify's outcome is the furthest
// of them. It is empty for a token that is malformed, and where no provider may
// vouch for its issuer. It is for explaining a refusal, never for a decision.
func (v *Verifier) Trace(ctx context.Context, raw Raw, now time.Time) []Outcome {
	if v == nil {
		return nil
	}
	token, ok := parseCompact(raw.text)
	if !ok {
		return nil
	}
	attempt := &attempt{compact: token, now: now, trials: maxTrials}
	var found []Outcome
	for _, candidate := range v.candidates(token.claims["iss"]) {
		outcome := attempt.by(ctx, candidate)
		found = append(found, outcome)
		if outcome.Reason == policy.OK {
			break
		}
	}
	return found
}

// Flaw says why Verify calls a token malformed; nil when it does not. It quotes
// nothing of the token.
func Flaw(raw Raw) error {
	if _, ok := parseCompact(raw.text); ok {
		return nil
	}
	parts := strings.Split(raw.text, ".")
	switch {
	case len(parts) == 5:
		return errors.New("it has five parts: an encrypted token (JWE), which nobody here can read; ask for a signed one (JWS)")
	case len(parts) == 1:
		return errors.New("it has one part: an opaque token, such as a session id, and no JWT; send the signed access token")
	case len(parts) != 3:
		return fmt.Errorf("it has %d parts between dots: a JWT has three (RFC 7515 section 7.1)", len(parts))
	}
	for i, name := range []string{"header", "payload", "signature"} {
		if err := flawOfBase64(parts[i]); err != nil {
			return fmt.Errorf("the %s %w", name, err)
		}
	}
	if err := flawOfObject(parts[0], isHeaderName); err != nil {
		return fmt.Errorf("the header %w", err)
	}
	if _, _, ok := openCompact(raw.text); !ok && parts[1] != "" {
		return errors.New("the header has crit or b64, which no extension here understands, or a kid that is no text")
	}
	if err := flawOfObject(parts[1], isClaimName); err != nil {
		return fmt.Errorf("the payload %w", err)
	}
	return errors.New("its form is not that of a JWT")
}

// flawOfBase64 says what is wrong with the form of one part.
func flawOfBase64(text string) error {
	if _, ok := decodeBase64(text); ok {
		return nil
	}
	switch {
	case strings.Contains(text, "="):
		return errors.New("has padding (=): base64url in a JWT has none (RFC 7515 section 2)")
	case strings.ContainsAny(text, "+/"):
		return errors.New("is in base64: a JWT is in base64url, with - and _ in the place of + and /")
	}
	return errors.New("is not base64url: was it cut short, or copied with something else?")
}

// flawOfObject says what is wrong with the JSON of one part.
func flawOfObject(text string, registered func(string) bool) error {
	if text == "" {
		return errors.New("is empty")
	}
	data, _ := decodeBase64(text)
	object, err := decodeObject(string(data))
	if err != nil {
		return fmt.Errorf("is no JSON object that every reader takes alike: %w", err)
	}
	for name := range object {
		if len(name) <= maxFoldedName && !registered(name) && registered(foldName(name)) {
			return fmt.Errorf("has %s in other letters: lax readers take it for the registered name", foldName(name))
		}
	}
	return nil
}
