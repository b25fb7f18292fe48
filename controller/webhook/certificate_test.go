package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

var (
	start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	hosts = []string{"gatepost-webhook.gatepost-system.svc", "127.0.0.1"}
)

func mustRenew(t *testing.T, old map[string][]byte, now time.Time) (map[string][]byte, bool) {
	t.Helper()
	data, changed, err := renew(old, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return data, changed
}

// verify fails unless a client that trusts the bundle accepts the server certificate.
func verify(t *testing.T, bundle, cert []byte, now time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatal("the bundle holds no certificate")
	}
	block, _ := pem.Decode(cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func same(a, b map[string][]byte, key string) bool { return string(a[key]) == string(b[key]) }

func TestRenew(t *testing.T) {
	fresh, changed := mustRenew(t, nil, start)
	if !changed {
		t.Fatal("nothing was made")
	}
	verify(t, fresh[caCertKey], fresh[serverCertKey], start)
	with := func(key, value string) map[string][]byte {
		data := maps.Clone(fresh)
		if data[key] = []byte(value); value == "" {
			delete(data, key)
		}
		return data
	}
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		old            map[string][]byte
		after          time.Duration
		newCA, newCert bool
	}{
		"what is valid stays":                            {fresh, 0, false, false},
		"shortly before its renewal it stays":            {fresh, serverLifetime - serverRenewal - day, false, false},
		"a certificate near its end is replaced":         {fresh, serverLifetime - serverRenewal + day, false, true},
		"one that is past its end is replaced":           {fresh, serverLifetime + day, false, true},
		"a lost certificate is replaced":                 {with(serverCertKey, ""), 0, false, true},
		"a key that does not fit is replaced":            {with(serverKeyKey, string(fresh[caPrivateKey])), 0, false, true},
		"garbage is replaced":                            {with(serverCertKey, "garbage"), 0, false, true},
		"the CA in the server's place is replaced":       {with(serverCertKey, string(fresh[caCertKey])), 0, false, true},
		"a CA near its end is replaced":                  {fresh, caLifetime - caRenewal + day, true, true},
		"a lost CA key means a new CA":                   {with(caPrivateKey, ""), 0, true, true},
		"a CA that is none of ours is replaced":          {with(caCertKey, string(fresh[serverCertKey])), 0, true, true},
		"a clock that was put back does not break trust": {fresh, -backdate - time.Minute, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(test.after)
			next, changed := mustRenew(t, test.old, now)
			if changed != (test.newCA || test.newCert) || same(test.old, next, caPrivateKey) == test.newCA || same(test.old, next, serverCertKey) == test.newCert {
				t.Errorf("changed %t, CA key kept %t, certificate kept %t", changed, same(test.old, next, caPrivateKey), same(test.old, next, serverCertKey))
			}
			verify(t, next[caCertKey], next[serverCertKey], now)
			if again, changed := mustRenew(t, next, now); changed || !same(next, again, serverCertKey) {
				t.Error("renewing anew changes it again")
			}
		})
	}
}

// A CA is replaced a year before its end: until every replica serves with the
// new one, clients must trust both.
func TestReplacedAuthorityIsTrustedBesideTheNew(t *testing.T) {
	now := start
	old, _ := mustRenew(t, nil, now)
	for generation := range 4 {
		now = now.Add(caLifetime - caRenewal + time.Hour)
		previous, _ := mustRenew(t, old, now.Add(-2*time.Hour)) // a replica's last certificate of the old CA
		next, _ := mustRenew(t, previous, now)
		if same(previous, next, caPrivateKey) {
			t.Fatalf("generation %d: the CA was not replaced", generation)
		}
		verify(t, next[caCertKey], previous[serverCertKey], now)
		verify(t, next[caCertKey], next[serverCertKey], now)
		if n := strings.Count(string(next[caCertKey]), "BEGIN"); n > mostCAs {
			t.Errorf("generation %d: %d CAs in the bundle", generation, n)
		}
		old = next
	}
}

// newKeeper is a keeper in a cluster that holds the objects.
func newKeeper(at *clock, c client.Client) *selfManaged {
	return &selfManaged{
		reader: c, writer: c, secret: types.NamespacedName{Namespace: "gatepost-system", Name: "gatepost-webhook-cert"},
		webhook: "gatepost-webhook", hosts: hosts, logger: logr.Discard(), now: at.now,
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{Name: "expiry", Help: "When it ends."}),
	}
}

// clock is a time that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func configuration() *admissionv1.MutatingWebhookConfiguration {
	webhook := func(name string) admissionv1.MutatingWebhook {
		return admissionv1.MutatingWebhook{
			Name: name, AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone),
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "gatepost-system", Name: "gatepost-webhook"}},
		}
	}
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "gatepost-webhook"},
		Webhooks:   []admissionv1.MutatingWebhook{webhook("one.gatepost.dev"), webhook("two.gatepost.dev")},
	}
}

func bundles(t *testing.T, c client.Client) []string {
	t.Helper()
	got := &admissionv1.MutatingWebhookConfiguration{}
	if err := c.Get(t.Context(), types.NamespacedName{Name: "gatepost-webhook"}, got); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, webhook := range got.Webhooks {
		if webhook.ClientConfig.Service == nil {
			t.Errorf("webhook %s lost its service", webhook.Name)
		}
		texts = append(texts, string(webhook.ClientConfig.CABundle))
	}
	return texts
}

func TestKeeper(t *testing.T) {
	at := &clock{start}
	c := fake.NewClientBuilder().WithObjects(configuration()).Build()
	keeper, other := newKeeper(at, c), newKeeper(at, c)
	if _, err := keeper.GetCertificate(nil); !errors.Is(err, errNoCertificate) {
		t.Fatalf("before the first check: %v", err)
	}
	for step, change := range []func(*corev1.Secret){
		nil,
		func(secret *corev1.Secret) { delete(secret.Data, serverCertKey) },
		func(secret *corev1.Secret) { secret.Data = nil },
		func(*corev1.Secret) { at.Time = at.Add(serverLifetime) },
	} {
		secret := &corev1.Secret{}
		if change != nil {
			if err := c.Get(t.Context(), keeper.secret, secret); err != nil {
				t.Fatal(err)
			}
			change(secret)
			if err := c.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}
		for _, replica := range []*selfManaged{keeper, other} {
			if err := replica.check(t.Context()); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
		}
		if err := c.Get(t.Context(), keeper.secret, secret); err != nil {
			t.Fatal(err)
		}
		for _, replica := range []*selfManaged{keeper, other} {
			pair, err := replica.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			for _, bundle := range bundles(t, c) {
				verify(t, []byte(bundle), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), at.now())
			}
			if got := testutil.ToFloat64(replica.expiry); got != float64(pair.Leaf.NotAfter.Unix()) {
				t.Errorf("step %d: the metric says %v", step, got)
			}
		}
	}
}

// A certificate whose CA could not be published must not be served yet.
func TestKeeperServesOnlyWhatIsTrusted(t *testing.T) {
	at := &clock{start}
	store := fake.NewClientBuilder().WithObjects(configuration()).Build()
	keeper := newKeeper(at, store)
	if err := keeper.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, _ := keeper.GetCertificate(nil)
	at.Time = at.Add(caLifetime)
	keeper.writer = interceptor.NewClient(store, interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return errors.New("refused")
		},
	})
	if err := keeper.check(t.Context()); err == nil {
		t.Fatal("the check went well")
	}
	if after, _ := keeper.GetCertificate(nil); after != before {
		t.Error("a certificate that nobody trusts is served")
	}
	keeper.writer = store
	if err := keeper.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := keeper.GetCertificate(nil); after == before {
		t.Error("the new certificate is not served")
	}
}

// Of two replicas that renew at once one loses, and takes up the winner's.
func TestKeeperLosesARaceWell(t *testing.T) {
	at := &clock{start}
	store := fake.NewClientBuilder().WithObjects(configuration()).Build()
	winner, loser := newKeeper(at, store), newKeeper(at, store)
	loser.writer = interceptor.NewClient(store, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if err := winner.check(ctx); err != nil {
				t.Error(err)
			}
			return c.Create(ctx, object, options...)
		},
	})
	if err := loser.check(t.Context()); err == nil {
		t.Error("the second creation went well")
	}
	if err := loser.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := winner.GetCertificate(nil)
	b, _ := loser.GetCertificate(nil)
	if string(a.Certificate[0]) != string(b.Certificate[0]) {
		t.Error("the replicas serve different certificates")
	}
}

func TestKeeperEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	store := fake.NewClientBuilder().WithObjects(configuration()).Build()
	keeper := newKeeper(&clock{start}, interceptor.NewClient(store, interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			cancel()
			return errors.New("refused")
		},
	}))
	if err := keeper.Start(ctx); err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	expiry := prometheus.NewGauge(prometheus.GaugeOpts{Name: "expiry", Help: "When it ends."})
	if _, err := newFiles(dir, expiry); err == nil || !strings.Contains(err.Error(), "reading the webhook's certificate") {
		t.Errorf("without files: %v", err)
	}
	data, _ := mustRenew(t, nil, start)
	for _, name := range []string{serverCertKey, serverKeyKey} {
		if err := os.WriteFile(filepath.Join(dir, name), data[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	watcher, err := newFiles(dir, expiry)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := watcher.GetCertificate(nil)
	if err != nil || pair == nil {
		t.Fatalf("no certificate: %v", err)
	}
	verify(t, data[caCertKey], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), start)
	if got, want := testutil.ToFloat64(expiry), float64(start.Add(serverLifetime).Unix()); got != want {
		t.Errorf("the metric says %v, want %v", got, want)
	}
}
