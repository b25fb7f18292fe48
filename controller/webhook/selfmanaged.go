package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyadmission "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// certificateOwner is the field owner of the caBundle, apart from the
// reconcilers' so that neither can drop what the other wrote.
const certificateOwner = v1alpha1.FieldOwner + "-webhook"

const (
	// checkInterval is how often a replica looks whether the certificate, the
	// Secret and the caBundle are as they should be.
	checkInterval = 30 * time.Second
	// retryInterval is how soon it looks again when they could not be made so.
	retryInterval = time.Second
	checkTimeout  = 10 * time.Second
)

// selfManaged keeps the webhook's certificate: it renews it in its Secret,
// publishes the CA in the webhook configuration, and only then serves with it.
// Replicas do this side by side; the Secret's resourceVersion decides a race.
type selfManaged struct {
	reader  client.Reader // not cached: one Secret and one configuration by name
	writer  client.Client
	secret  types.NamespacedName
	webhook string // name of the MutatingWebhookConfiguration
	hosts   []string
	expiry  prometheus.Gauge
	logger  logr.Logger
	now     func() time.Time

	serving atomic.Pointer[tls.Certificate]
}

var errNoCertificate = errors.New("there is no certificate to serve with yet")

// NeedLeaderElection is false: every replica serves.
func (s *selfManaged) NeedLeaderElection() bool { return false }

// Start keeps the certificate until the context ends.
func (s *selfManaged) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next := checkInterval
		if err := s.check(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error(err, "webhook certificate not renewed", "serving", s.serving.Load() != nil)
			next = retryInterval
		}
		timer.Reset(next)
	}
}

// check renews, publishes and takes up the certificate, as far as needed.
func (s *selfManaged) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	data, err := s.stored(ctx)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, data[caCertKey]); err != nil {
		return err
	}
	return s.serve(data)
}

// stored returns the Secret's content after it was renewed where needed.
func (s *selfManaged) stored(ctx context.Context) (map[string][]byte, error) {
	secret := &corev1.Secret{}
	err := s.reader.Get(ctx, s.secret, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("reading Secret %s: %w", s.secret, err)
	}
	data, changed, err := renew(secret.Data, s.hosts, s.now())
	if err != nil {
		return nil, fmt.Errorf("renewing the webhook certificate: %w", err)
	}
	switch {
	case missing:
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.secret.Namespace, Name: s.secret.Name}, Data: data}
		err = s.writer.Create(ctx, secret, client.FieldOwner(certificateOwner))
	case changed:
		secret.Data = data
		err = s.writer.Update(ctx, secret, client.FieldOwner(certificateOwner))
	default:
		return data, nil
	}
	if err != nil {
		// A conflict is another replica's renewal; the next look takes it up.
		return nil, fmt.Errorf("writing Secret %s: %w", s.secret, err)
	}
	s.logger.Info("webhook certificate renewed", "secret", s.secret.Name)
	return data, nil
}

// publish writes the CA bundle into every webhook that has another.
func (s *selfManaged) publish(ctx context.Context, bundle []byte) error {
	current := &admissionv1.MutatingWebhookConfiguration{}
	if err := s.reader.Get(ctx, types.NamespacedName{Name: s.webhook}, current); err != nil {
		return fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", s.webhook, err)
	}
	wanted := applyadmission.MutatingWebhookConfiguration(s.webhook)
	changed := false
	for i := range current.Webhooks {
		webhook := &current.Webhooks[i]
		changed = changed || !bytes.Equal(webhook.ClientConfig.CABundle, bundle)
		wanted.WithWebhooks(applyadmission.MutatingWebhook().WithName(webhook.Name).
			WithClientConfig(applyadmission.WebhookClientConfig().WithCABundle(bundle...)))
	}
	if !changed {
		return nil
	}
	if err := s.writer.Apply(ctx, wanted, client.FieldOwner(certificateOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the caBundle of MutatingWebhookConfiguration %s: %w", s.webhook, err)
	}
	s.logger.Info("webhook configuration trusts the CA", "webhook_configuration", s.webhook)
	return nil
}

// serve takes the stored certificate up.
func (s *selfManaged) serve(data map[string][]byte) error {
	pair, err := tls.X509KeyPair(data[serverCertKey], data[serverKeyKey])
	if err != nil {
		return fmt.Errorf("taking up the webhook certificate: %w", err)
	}
	s.expiry.Set(float64(pair.Leaf.NotAfter.Unix()))
	s.serving.Store(&pair)
	return nil
}

// GetCertificate hands out the certificate in use, for tls.Config.
func (s *selfManaged) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := s.serving.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNoCertificate
}
