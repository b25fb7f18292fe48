package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/token"
)

// mint holds the flags of `gatepost token mint`.
type mint struct {
	alg       string
	keyFile   string
	kid       string
	typ       string
	issuer    string
	audiences []string
	subject   string
	claims    []string
	expiresIn time.Duration
}

func mintCommand(now func() time.Time) *cobra.Command {
	var m mint
	command := &cobra.Command{
		Use:   "mint --key-file FILE [--claim name=value]...",
		Short: "Sign a token with a key of yours, for a test",
		Long: `Sign a token with a key of yours and print it.

For HS256, HS384 and HS512 the key file holds the secret, byte for byte: a
newline at its end is part of the secret. For the other algorithms it holds one
private key as PEM or as a JSON Web Key.`,
		Example: `  gatepost token mint --key-file keys/agent-jwt/current --sub 42 --claim role=teacher
  gatepost token mint --alg ES256 --key-file key.json --claim 'scopes=["agents:run"]' --expires-in 2m`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			compact, err := m.sign(now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), compact)
			return err
		},
	}
	flags := command.Flags()
	m.alg, m.typ = "HS256", "JWT"
	flags.Func("alg", "signature `algorithm` (default HS256)", once(&m.alg))
	flags.Func("key-file", "`file` with the secret or the private key", once(&m.keyFile))
	flags.Func("kid", "key `id` for the token's header; none by default, as small back ends sign", once(&m.kid))
	flags.Func("typ", "`type` for the token's header; empty for none (default JWT)", once(&m.typ))
	flags.Func("iss", "`issuer`", once(&m.issuer))
	flags.StringSliceVar(&m.audiences, "aud", nil, "audience; repeat it for several")
	flags.Func("sub", "`subject`", once(&m.subject))
	flags.StringArrayVar(&m.claims, "claim", nil, "name=value; a value that is JSON is taken as JSON, anything else as a string")
	m.expiresIn = time.Minute
	flags.Func("expires-in", "time to live, a `duration`; negative for a token that has expired already (default 1m)", m.lifetime())
	_ = command.MarkFlagRequired("key-file")
	return command
}

// once sets a flag that a token can have only one value of.
func once(target *string) func(string) error {
	given := false
	return func(text string) error {
		if given {
			return errors.New("it is given twice: a token has one")
		}
		given, *target = true, text
		return nil
	}
}

// lifetime sets how long the token lives.
func (m *mint) lifetime() func(string) error {
	var text string
	given := once(&text)
	return func(value string) (err error) {
		if err = given(value); err != nil {
			return err
		}
		if m.expiresIn, err = time.ParseDuration(value); err != nil {
			return errors.New("write a duration such as 90s, 10m or -5m")
		}
		return nil
	}
}

func (m mint) sign(now time.Time) (string, error) {
	key, err := m.key()
	if err != nil {
		return "", err
	}
	claims, err := m.payload(now)
	if err != nil {
		return "", err
	}
	header := map[string]any{"typ": nil}
	if m.typ != "" {
		header["typ"] = m.typ
	}
	compact, err := token.Mint(key, header, claims)
	if err != nil {
		return "", fmt.Errorf("signing with %s and the key in %s: %w", m.alg, m.keyFile, err)
	}
	return compact, nil
}

func (m mint) key() (token.Key, error) {
	material, err := os.ReadFile(m.keyFile)
	if err != nil {
		return token.Key{}, fmt.Errorf("reading --key-file: %w", err)
	}
	key, err := token.ParsePrivate(m.alg, material)
	switch {
	case errors.Is(err, token.ErrUnknownAlg):
		return token.Key{}, fmt.Errorf("--alg %q: %w", m.alg, err)
	case err != nil:
		return token.Key{}, fmt.Errorf("--key-file %s: %w", m.keyFile, err)
	}
	key.KID = m.kid
	return key, nil
}

func (m mint) payload(now time.Time) (map[string]any, error) {
	claims := map[string]any{"iat": now.Unix(), "exp": now.Add(m.expiresIn).Unix()}
	if m.subject != "" {
		claims["sub"] = m.subject
	}
	if m.issuer != "" {
		claims["iss"] = m.issuer
	}
	switch len(m.audiences) {
	case 0:
	case 1:
		claims["aud"] = m.audiences[0]
	default:
		claims["aud"] = m.audiences
	}
	return claims, m.add(claims)
}

// add puts in what --claim says. Only iat and exp, which every token gets, may
// be said again.
func (m mint) add(claims map[string]any) error {
	said := map[string]bool{}
	for _, claim := range m.claims {
		name, text, ok := strings.Cut(claim, "=")
		if !ok || name == "" {
			return fmt.Errorf("--claim %q: write name=value", claim)
		}
		var value any = text
		if json.Valid([]byte(text)) {
			value = json.RawMessage(text)
		}
		if _, taken := claims[name]; taken && name != "iat" && name != "exp" || said[name] {
			return fmt.Errorf("--claim %s: the claim has a value already: give it once", name)
		}
		claims[name], said[name] = value, true
	}
	return nil
}
