package kube

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Explain says what an error of the cluster means and what to do; nil stays nil.
func (c *Cluster) Explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	if means := c.means(err); means != "" {
		return &Problem{text: doing + ": " + means, cause: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Problem is an error of the cluster in words of ours; what the cluster said is
// behind it.
type Problem struct {
	text  string
	cause error
}

// Error is what we were doing, what is wrong and what to do.
func (p *Problem) Error() string { return p.text }

// Unwrap is what the cluster said.
func (p *Problem) Unwrap() error { return p.cause }

// means is an error in words, with what to do; empty: it speaks for itself.
func (c *Cluster) means(err error) string {
	where := "the cluster"
	if c.context != "" {
		where = fmt.Sprintf("the cluster of context %q", c.context)
	}
	switch {
	case IsNotInstalled(err):
		return fmt.Sprintf("Gatepost is not installed in %s: it knows no %s; install the chart charts/gatepost, or choose another --context", where, kindOf(err))
	case apierrors.IsForbidden(err):
		return forbidden(err)
	case apierrors.IsUnauthorized(err):
		return where + " does not know who you are: log in again, or choose another --context"
	case isCertificate(err):
		return fmt.Sprintf("the certificate of %s is not one that the kubeconfig trusts: check --context, or fetch the kubeconfig anew (%v)", where, errors.Unwrap(err))
	case errors.Is(err, context.DeadlineExceeded) || isNetwork(err):
		return fmt.Sprintf("%s does not answer at %s: is it up, and is --context the right one? (%v)", where, c.Config.Host, innermost(err))
	}
	return ""
}

// IsNotInstalled reports whether the cluster does not know one of our kinds.
func IsNotInstalled(err error) bool {
	return meta.IsNoMatchError(err)
}

// kindOf is the kind that the cluster does not know.
func kindOf(err error) string {
	if unknown, ok := errors.AsType[*meta.NoKindMatchError](err); ok {
		return unknown.GroupKind.Kind + " of " + unknown.GroupKind.Group
	}
	return "kind of " + v1alpha1.Group
}

// forbidden says which right is missing and which role has it.
func forbidden(err error) string {
	said := err.Error()
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		said = status.ErrStatus.Message
		if status.ErrStatus.Details != nil && status.ErrStatus.Details.Group == v1alpha1.Group && !strings.Contains(said, "cannot") {
			return said // refused by a rule of the cluster's, not for lack of a right
		}
	}
	role := "view"
	for _, verb := range []string{"cannot patch", "cannot create", "cannot update", "cannot delete"} {
		if strings.Contains(said, verb) {
			role = "edit"
		}
	}
	if _, after, ok := strings.Cut(said, "is forbidden: "); ok {
		said = after
	}
	return fmt.Sprintf("the right is missing: %s; ask for the role %q of the namespace, which has it with Gatepost's chart", said, role)
}

func isCertificate(err error) bool {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &host)
}

func isNetwork(err error) bool {
	_, operation := errors.AsType[*net.OpError](err)
	_, names := errors.AsType[*net.DNSError](err)
	request, ok := errors.AsType[*url.Error](err)
	return operation || names || ok && request.Timeout()
}

// innermost is the last of a chain of errors, where the system speaks.
func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// IsHidden reports whether the cluster does not know a kind, or does not show it
// to us.
func IsHidden(err error) bool { return IsNotInstalled(err) || IsForbidden(err) }

// IsForbidden reports whether a right is missing.
func IsForbidden(err error) bool { return err != nil && apierrors.IsForbidden(err) }

// IsMissing reports whether an object is not there.
func IsMissing(err error) bool { return err != nil && apierrors.IsNotFound(err) }

// IsFinal reports whether an error stays however often one tries.
func IsFinal(err error) bool {
	return IsHidden(err) || IsMissing(err) || err != nil && (apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err))
}
