// Package pki writes the files that let the parts of one cluster trust each
// other: a certificate authority, the API server's certificate, the key that
// signs service-account tokens, and a kubeconfig for every client.
//
// All of it is made afresh for one cluster, lives as long as that cluster and is
// worth nothing outside it. The authority's own key is never written.
package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Config says where to write and for whom.
type Config struct {
	Dir    string   // receives the files; made when missing
	Server string   // URL of the API server in the kubeconfigs
	Names  []string // addresses and DNS names of the API server besides the usual ones; empty ones are skipped
	Node   string   // name of the node whose kubelet gets a kubeconfig; empty: none does
}

// Names of the files in Config.Dir. A client NAME has NAME.kubeconfig.
const (
	CAFile            = "ca.crt"
	ServerCertFile    = "apiserver.crt"
	ServerKeyFile     = "apiserver.key"
	KubeletCertFile   = "apiserver-kubelet.crt" // the API server's, as a client of the kubelet
	KubeletKeyFile    = "apiserver-kubelet.key"
	ServiceAccountKey = "service-accounts.key"
)

// Write makes all files, in place of those of an earlier call.
func Write(c Config) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return fmt.Errorf("making the authority: %w", err)
	}
	if err := c.write(CAFile, ca.certPEM()); err != nil {
		return err
	}
	if err := c.writeServer(ca); err != nil {
		return err
	}
	if err := c.writeClients(ca); err != nil {
		return err
	}
	tokens, err := newKey()
	if err != nil {
		return err
	}
	return c.write(ServiceAccountKey, tokens.pem)
}

func (c Config) writeServer(ca *authority) error {
	names := append([]string{
		"localhost", "127.0.0.1", "::1",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, c.Names...)
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name != "" {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	pair, err := ca.issue(template)
	if err != nil {
		return fmt.Errorf("issuing the API server's certificate: %w", err)
	}
	if err := c.write(ServerCertFile, pair.cert); err != nil {
		return err
	}
	return c.write(ServerKeyFile, pair.key)
}

func (c Config) writeClients(ca *authority) error {
	const admins = "system:masters"
	subjects := map[string]pkix.Name{
		"admin":              {CommonName: "admin", Organization: []string{admins}},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":         {CommonName: "system:kube-proxy"},
	}
	if c.Node != "" {
		subjects["kubelet"] = pkix.Name{CommonName: "system:node:" + c.Node, Organization: []string{"system:nodes"}}
	}
	for name, subject := range subjects {
		pair, err := ca.issueClient(subject)
		if err != nil {
			return fmt.Errorf("issuing the certificate of %s: %w", name, err)
		}
		if err := c.writeKubeconfig(name, ca, pair); err != nil {
			return err
		}
	}
	pair, err := ca.issueClient(pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{admins}})
	if err != nil {
		return fmt.Errorf("issuing the API server's client certificate: %w", err)
	}
	if err := c.write(KubeletCertFile, pair.cert); err != nil {
		return err
	}
	return c.write(KubeletKeyFile, pair.key)
}

func (c Config) writeKubeconfig(name string, ca *authority, pair *pair) error {
	const entry = "gatepost-test"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{Server: c.Server, CertificateAuthorityData: ca.certPEM()}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key}
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: name}
	config.CurrentContext = entry
	file := filepath.Join(c.Dir, name+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func (c Config) write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(c.Dir, name), data, 0o600)
}
