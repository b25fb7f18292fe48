package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// verification holds the flags of `gatepost token verify`.
type verification struct {
	offline    offline
	jwks       string
	secretFile string
	algorithms []string
	issuers    []string
	audiences  []string
	format     output.Format
}

func verifyCommand(now func() time.Time) *cobra.Command {
	var v verification
	command := &cobra.Command{
		Use:   "verify [TOKEN | -] (--policy FILE --keys DIR | --jwks FILE | --secret-file FILE)",
		Short: "Verify a token as the sidecar does",
		Long: `Verify a token, read from the argument or from stdin, with the verifier of the
sidecar: by the providers of a policy and its keys, by a JSON Web Key Set, or by
one HMAC secret. Rules are not asked; gatepost explain does that.

Exit code 0 says that the token is good, 1 that it is not, 2 that a file or a
flag was wrong.`,
		Example: `  gatepost token verify - --policy policy.yaml --keys keys < token
  gatepost token verify - --jwks jwks.json --iss https://auth.example.com --aud chat < token
  gatepost token verify - --secret-file keys/agent-jwt/current --alg HS256 < token`,
		Args: arguments(0, 1),
		RunE: func(command *cobra.Command, args []string) error {
			return v.run(command, args, now())
		},
	}
	v.offline.flags(command)
	flags := command.Flags()
	flags.StringVar(&v.jwks, "jwks", "", "`file` with a JSON Web Key Set of public keys")
	flags.StringVar(&v.secretFile, "secret-file", "", "`file` with an HMAC secret, byte for byte")
	flags.StringArrayVar(&v.algorithms, "alg", nil, "accepted `algorithm`, with --jwks or --secret-file; repeat it for several (default HS256 for a secret, all for public keys)")
	flags.StringArrayVar(&v.issuers, "iss", nil, "accepted `issuer`, with --jwks or --secret-file; repeat it for several (default any)")
	flags.StringArrayVar(&v.audiences, "aud", nil, "accepted `audience`, with --jwks or --secret-file; repeat it for several (default any)")
	command.MarkFlagsMutuallyExclusive("policy", "jwks", "secret-file")
	v.format.Flag(command)
	return command
}

func (v *verification) run(command *cobra.Command, args []string, now time.Time) error {
	if v.offline.policy+v.jwks+v.secretFile == "" {
		return errors.New("what to verify by is missing: give --policy FILE and --keys DIR, --jwks FILE or --secret-file FILE")
	}
	text, err := credentialOf(command, args)
	if err != nil {
		return err
	}
	snapshot, done, err := v.load(now)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(command.Context(), fetchTime)
	defer cancel()
	found := explain.Credential(ctx, snapshot, text, now)
	if err := v.show(output.To(command, v.format), text, found, now); err != nil {
		return err
	}
	if found.Reason != policy.OK {
		return errUnexpected
	}
	return nil
}

// verdict is what `gatepost token verify` says for machines.
type verdict struct {
	Verified bool `json:"verified"`
	explain.Explanation
	// Claims are there only when they are verified.
	Claims map[string]any `json:"claims,omitempty"`
}

func (v *verification) show(to output.Printer, text string, found explain.Explanation, now time.Time) error {
	found.Notes = nil // that rules were not asked is what this command is for
	said := verdict{Verified: found.Reason == policy.OK, Explanation: found}
	if said.Verified {
		said.Claims = unverified.Read(text).Claims
	}
	switch {
	case to.Format != output.Text:
		return to.Value(said)
	case !said.Verified:
		_, err := io.WriteString(to.Out, found.Render(now, to.Terminal))
		return err
	}
	words := []string{"verified by " + cmp.Or(v.jwks, "provider "+found.Provider)}
	switch {
	case v.secretFile != "":
		words[0] = "verified by the secret in " + v.secretFile
	case found.KID != "":
		words = append(words, "key "+found.KID)
	}
	for _, moment := range found.Times {
		if moment.Claim == "exp" {
			words = append(words, "expires "+moment.FromNow)
		}
	}
	_, err := fmt.Fprintf(to.Out, "%s\n%s\n", output.Paint(strings.Join(words, ", "), output.Good, to.Terminal), indented(said.Claims))
	return err
}

func (v *verification) load(now time.Time) (*bundle.Snapshot, func(), error) {
	if v.offline.policy != "" {
		if len(v.algorithms)+len(v.issuers)+len(v.audiences) > 0 {
			return nil, nil, errors.New("--alg, --iss and --aud go with --jwks and --secret-file: a policy says them itself")
		}
		return v.offline.load(now)
	}
	provider := policy.Provider{Name: "given", Issuers: v.issuers, Audiences: v.audiences}
	flag, file := "--jwks", v.jwks
	provider.LocalJWKS = &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "given", Key: "keys"}}
	algorithms := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	if v.secretFile != "" {
		flag, file, algorithms = "--secret-file", v.secretFile, []string{"HS256"}
		provider.LocalJWKS, provider.SecretRef = nil, &policy.SecretRef{Name: "given", Keys: []string{"keys"}}
	}
	if len(v.algorithms) > 0 {
		algorithms = v.algorithms
	}
	for _, name := range algorithms {
		provider.Algorithms = append(provider.Algorithms, policy.Algorithm(name))
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", flag, err)
	}
	doc := manifest.Document{Name: "flags", Spec: policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{provider}}}}
	snapshot, err := bundle.Load(doc, bundle.Directory("", map[string][]byte{"given/keys": content}), bundle.Options{Now: now})
	switch {
	case errors.Is(err, token.ErrSecretLooksLikeKey):
		return nil, nil, fmt.Errorf("%s %s: %w: a key set of public keys goes to --jwks", flag, file, token.ErrSecretLooksLikeKey)
	case errors.Is(err, token.ErrSecretTooShort):
		return nil, nil, fmt.Errorf("%s %s: %w", flag, file, token.ErrSecretTooShort)
	case err != nil:
		return nil, nil, fmt.Errorf("%s %s: %w", flag, file, err)
	}
	return snapshot, func() {}, nil
}
