package webhook

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"
)

// The keys of the certificate Secret. ca.crt is a bundle: the CA whose key is
// in ca.key first, then older ones that still count.
const (
	caCertKey     = "ca.crt"
	caPrivateKey  = "ca.key"
	serverCertKey = "tls.crt"
	serverKeyKey  = "tls.key"
)

// How long certificates last, and how long before their end they are replaced.
// The CA is replaced so early that every server certificate of the old one has
// been replaced before that one ends.
const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	caRenewal      = 365 * 24 * time.Hour
	serverLifetime = 90 * 24 * time.Hour
	serverRenewal  = 30 * 24 * time.Hour
	backdate       = time.Hour // for clocks that differ
	mostCAs        = 3
)

// authority is a CA that can sign, and the bundle of all that are trusted.
type authority struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	bundle []*x509.Certificate
}

// renew returns the content of the certificate Secret that is right at now, for
// a server that answers for hosts (names and IP addresses): the old content
// where it still is, else with a new server certificate, or a new CA beside the
// old one. The second result says whether anything is new.
func renew(old map[string][]byte, hosts []string, now time.Time) (map[string][]byte, bool, error) {
	next := maps.Clone(old)
	if next == nil {
		next = map[string][]byte{}
	}
	ca, err := readAuthority(old)
	if err != nil || now.After(ca.cert.NotAfter.Add(-caRenewal)) || now.Before(ca.cert.NotBefore) {
		if ca, err = newAuthority(readBundle(old[caCertKey], now), now); err != nil {
			return nil, false, err
		}
		if err := ca.write(next); err != nil {
			return nil, false, err
		}
	} else if serves(old, ca, hosts, now) {
		return old, false, nil
	}
	if err := ca.issue(next, hosts, now); err != nil {
		return nil, false, err
	}
	return next, true, nil
}

// serves reports whether the server certificate is good for some time to come.
func serves(data map[string][]byte, ca *authority, hosts []string, now time.Time) bool {
	pair, err := tls.X509KeyPair(data[serverCertKey], data[serverKeyKey])
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	for _, cert := range ca.bundle {
		roots.AddCert(cert)
	}
	for _, host := range hosts {
		if pair.Leaf.VerifyHostname(host) != nil {
			return false
		}
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(serverRenewal)})
	return err == nil && !now.Before(pair.Leaf.NotBefore)
}

// readAuthority reads the CA that signs; an error means that there is none to use.
func readAuthority(data map[string][]byte) (*authority, error) {
	pair, err := tls.X509KeyPair(data[caCertKey], data[caPrivateKey])
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("reading the CA: it is not one that we made")
	}
	ca := &authority{cert: pair.Leaf, key: key}
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("reading the CA bundle: %w", err)
		}
		ca.bundle = append(ca.bundle, cert)
	}
	return ca, nil
}

// readBundle reads the CA certificates that still count; what cannot be read is left out.
func readBundle(data []byte, now time.Time) []*x509.Certificate {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && cert.IsCA && now.Before(cert.NotAfter) && len(certs) < mostCAs-1 {
			certs = append(certs, cert)
		}
	}
	return certs
}

// newAuthority makes a CA, trusted beside the older ones.
func newAuthority(older []*x509.Certificate, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	cert, err := sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "Gatepost webhook CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, &key.PublicKey, nil, key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA: %w", err)
	}
	return &authority{cert: cert, key: key, bundle: append([]*x509.Certificate{cert}, older...)}, nil
}

// write puts the CA and the bundle into the Secret's content.
func (ca *authority) write(data map[string][]byte) error {
	key, err := encodeKey(ca.key)
	if err != nil {
		return fmt.Errorf("encoding the CA's key: %w", err)
	}
	var bundle bytes.Buffer
	for _, cert := range ca.bundle {
		bundle.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	data[caCertKey], data[caPrivateKey] = bundle.Bytes(), key
	return nil
}

// issue puts a new server certificate into the Secret's content.
func (ca *authority) issue(data map[string][]byte, hosts []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the server's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: hosts[0]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(serverLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := sign(template, &key.PublicKey, ca.cert, ca.key)
	if err != nil {
		return fmt.Errorf("signing the server certificate: %w", err)
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encoding the server's key: %w", err)
	}
	data[serverCertKey] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	data[serverKeyKey] = encoded
	return nil
}

// sign makes a certificate; without a parent it signs itself.
func sign(template *x509.Certificate, public *ecdsa.PublicKey, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
