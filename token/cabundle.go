package token

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a CABundle: bytes of PEM, and certificates.
const (
	maxBundleBytes        = 256 << 10
	maxBundleCertificates = 256
)

// CABundle are the certificates that the servers of a remote key set must chain
// to. It is immutable.
type CABundle struct {
	pool *x509.CertPool
	sum  [sha256.Size]byte // of the certificates, whatever stands around them
}

// ParseCABundle reads certificates in PEM (RFC 7468), 1 to 256 in at most 256
// KiB. Text around the blocks is ignored, a block that is no certificate is an
// error. Errors say how to mend it and quote nothing.
func ParseCABundle(data []byte) (*CABundle, error) {
	if len(data) > maxBundleBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read: leave out certificates that no key server chains to", len(data), maxBundleBytes)
	}
	bundle := &CABundle{pool: x509.NewCertPool()}
	hash := sha256.New()
	count := 0
	block, rest := pem.Decode(data)
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a block %.40q: put certificates (BEGIN CERTIFICATE) into it and nothing else", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: copy it anew", count+1)
		}
		if count++; count > maxBundleCertificates {
			return nil, fmt.Errorf("holds more than %d certificates: leave out those that no key server chains to", maxBundleCertificates)
		}
		bundle.pool.AddCert(certificate)
		hash.Write(certificate.Raw)
	}
	if strings.Contains(string(rest), "-----BEGIN") {
		return nil, fmt.Errorf("certificate %d is cut off or damaged: copy it anew, with its BEGIN and END lines", count+1)
	}
	if count == 0 {
		return nil, errors.New("holds no certificate: put the PEM of the certificate authority into it (BEGIN CERTIFICATE)")
	}
	hash.Sum(bundle.sum[:0])
	return bundle, nil
}

// roots are the certificates; nil: the system's.
func (b *CABundle) roots() *x509.CertPool {
	if b == nil {
		return nil
	}
	return b.pool
}

func (b *CABundle) fingerprint() [sha256.Size]byte {
	if b == nil {
		return [sha256.Size]byte{}
	}
	return b.sum
}
