package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if err := Write(Config{Dir: dir, Server: "https://10.10.0.1:6443", Names: []string{"10.10.0.1", "api.test", ""}, Node: "n1"}); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the authority's file holds no certificate")
	}

	server, err := tls.LoadX509KeyPair(filepath.Join(dir, ServerCertFile), filepath.Join(dir, ServerKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "10.10.0.1", "api.test", "kubernetes.default.svc"} {
		if _, err := server.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("the server's certificate: %v", err)
		}
	}
	if _, err := server.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "elsewhere.test"}); err == nil {
		t.Error("the server's certificate is good for any name")
	}
	for client, user := range map[string]string{
		"admin": "admin", "kubelet": "system:node:n1", "scheduler": "system:kube-scheduler",
		"controller-manager": "system:kube-controller-manager", "kube-proxy": "system:kube-proxy",
	} {
		checkClient(t, filepath.Join(dir, client+".kubeconfig"), user, roots)
	}
}

func checkClient(t *testing.T, kubeconfig, user string, roots *x509.CertPool) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.10.0.1:6443" {
		t.Errorf("%s: server %s", kubeconfig, config.Host)
	}
	pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if pair.Leaf.Subject.CommonName != user {
		t.Errorf("%s: user %s, want %s", kubeconfig, pair.Leaf.Subject.CommonName, user)
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: usage}); err != nil {
		t.Errorf("%s: %v", kubeconfig, err)
	}
}
