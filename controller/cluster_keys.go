package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// Where an API server shows the keys of its service accounts' tokens.
const (
	discoveryPath = "/.well-known/openid-configuration"
	accountKeys   = "/openid/v1/jwks"
)

const (
	// accountKeysFresh is how long the keys of service accounts are believed to be
	// the same. The API server accepts an old one for as long as its tokens live.
	accountKeysFresh = 5 * time.Minute
	accountKeysPause = 15 * time.Second // after they could not be read
	accountKeysWait  = 5 * time.Second
)

// clusterKeys are the public keys of the cluster's service accounts, for issuers
// that exchange their tokens. Every service account may read them: by default the
// ClusterRole system:service-account-issuer-discovery is bound to all.
type clusterKeys struct {
	get func(ctx context.Context, path string) ([]byte, error)
	now func() time.Time

	mu    sync.Mutex
	last  []byte // nil: never read
	err   error  // of the last attempt
	again time.Time
}

func newClusterKeys(config *rest.Config, now func() time.Time) (*clusterKeys, error) {
	api, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing to read the keys of service accounts: %w", err)
	}
	return &clusterKeys{now: now, get: func(ctx context.Context, path string) ([]byte, error) {
		return api.RESTClient().Get().AbsPath(path).DoRaw(ctx)
	}}, nil
}

// document is serviceaccounts.json, and when to ask for it again. What was read
// once stays good when it cannot be read again, beside the error.
func (c *clusterKeys) document(ctx context.Context) (text []byte, again time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); !now.Before(c.again) {
		fresh, err := c.read(ctx)
		if c.err = err; err == nil {
			c.last, c.again = fresh, now.Add(accountKeysFresh)
		} else {
			c.again = now.Add(accountKeysPause)
		}
	}
	return c.last, max(c.again.Sub(c.now()), time.Second), c.err
}

func (c *clusterKeys) read(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, accountKeysWait)
	defer cancel()
	about, err := c.get(ctx, discoveryPath)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the API server: %w", discoveryPath, err)
	}
	var issuer struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(about, &issuer); err != nil || issuer.Issuer == "" {
		return nil, fmt.Errorf("reading %s of the API server: it names no issuer", discoveryPath)
	}
	keys, err := c.get(ctx, accountKeys)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the API server: %w", accountKeys, err)
	}
	if set, bad := token.ParseJWKS(keys); set.Len() == 0 {
		return nil, fmt.Errorf("reading %s of the API server: it holds no usable key: %w", accountKeys, errors.Join(bad...))
	}
	return keyring.ServiceAccountsFile{Issuer: issuer.Issuer, JWKS: keys}.Marshal()
}
