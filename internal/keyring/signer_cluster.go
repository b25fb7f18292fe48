package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxIssuer bounds the iss of a cluster's tokens.
const maxIssuer = 2048

// ServiceAccountsFile is serviceaccounts.json: by which keys an issuer recognises
// the tokens of the cluster's service accounts. It holds nothing secret.
type ServiceAccountsFile struct {
	// Issuer is the iss of the cluster's tokens, compared byte for byte.
	Issuer string `json:"issuer"`
	// JWKS is the cluster's key set (RFC 7517 section 5), as its API server shows it.
	JWKS json.RawMessage `json:"jwks"`
}

// Marshal writes the file. It refuses what ParseServiceAccounts would.
func (f ServiceAccountsFile) Marshal() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("writing serviceaccounts.json: %w", err)
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("writing serviceaccounts.json: %w", err)
	}
	return data, nil
}

// ParseServiceAccounts reads serviceaccounts.json: unknown and duplicate fields
// and text after the document are errors. Whether the keys are sound is not
// judged here.
func ParseServiceAccounts(data []byte) (ServiceAccountsFile, error) {
	var f ServiceAccountsFile
	if err := decodeStrict(data, &f); err != nil {
		return ServiceAccountsFile{}, fmt.Errorf("reading serviceaccounts.json: %w", err)
	}
	if err := f.check(); err != nil {
		return ServiceAccountsFile{}, fmt.Errorf("reading serviceaccounts.json: %w", err)
	}
	return f, nil
}

func (f ServiceAccountsFile) check() error {
	switch {
	case f.Issuer == "" || len(f.Issuer) > maxIssuer:
		return fmt.Errorf("issuer: wants 1 to %d bytes", maxIssuer)
	case !strings.HasPrefix(strings.TrimSpace(string(f.JWKS)), "{"):
		return errors.New("jwks: wants a JSON Web Key Set")
	}
	return nil
}
