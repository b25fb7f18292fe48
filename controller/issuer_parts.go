package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/internal/password"
	"gatepost.dev/gatepost/policy"
)

// issuerParts are the parts of an issuer's bundle in the making.
type issuerParts struct {
	in   issuerInput
	refs resolution

	signer          *keyring.SignerFile // nil: there is none yet
	users, accounts []byte              // nil: none are needed
}

// inWordsOfAnIssuer says where the fields are that a policy has elsewhere.
func (p *issuerParts) inWordsOfAnIssuer() {
	words := strings.NewReplacer(
		"spec.jwt.providers", "spec.session.providers",
		"spec.apiKeyAuth.credentialSelector", "spec.clients.credentialSelector",
		"make two policies", "make two issuers",
	)
	for i := range p.refs.problems {
		p.refs.problems[i].message = words.Replace(p.refs.problems[i].message)
	}
	for i := range p.refs.warnings {
		p.refs.warnings[i] = words.Replace(p.refs.warnings[i])
	}
}

// say adds a problem. kept: what was there before goes on; else nothing can be
// written while it lasts.
func (p *issuerParts) say(kept bool, reason, format string, args ...any) {
	p.refs.problems = append(p.refs.problems, refProblem{reason: reason, message: fmt.Sprintf(format, args...), kept: kept, keyless: !kept})
}

const signingField = "spec.signingKeyRef"

// sign takes the active key of the SigningKey with its private half, and of the
// others what verifiers need. A revoked key is gone at once, even if that leaves
// none. The document's tokens live no longer than verifiers would accept them.
func (p *issuerParts) sign(doc *manifest.IssuerDocument) {
	name := doc.Spec.SigningKeyRef.Name
	source, found := p.in.from.keys[name]
	p.refs.revoked[name] = p.in.last.revoked(name)
	if found {
		p.refs.revoked[name] = source.revoked()
	}
	switch {
	case !found:
		p.keepSigner(name, v1alpha1.ReasonSigningKeyNotFound, fmt.Sprintf("there is no SigningKey %s: create it with signer: Issuer", name))
	case source.key.Spec.Signer != v1alpha1.SignerIssuer:
		p.keepSigner(name, v1alpha1.ReasonSignerIsExternal, fmt.Sprintf(
			"SigningKey %s is for signers outside, whose keys come and go by other rules: refer to one with signer: Issuer", name))
	case source.state == nil:
		p.keepSigner(name, v1alpha1.ReasonSigningKeyNotReady, fmt.Sprintf("SigningKey %s has no keys yet: look at its conditions", name))
	default:
		signer := source.state.Signer(name, source.lifetime())
		p.signer, p.refs.signingKeys[name] = &signer, source.state.Generation
	}
	p.shorten(doc)
}

// keepSigner goes on with the key that signed last, unless it was revoked.
func (p *issuerParts) keepSigner(name, reason, why string) {
	if !p.in.last.signsWith(name) {
		p.say(false, reason, "%s: %s; there is no key to sign with yet", signingField, why)
		return
	}
	kept, revoked := *p.in.last.signer, p.refs.revoked[name]
	kept.Publish = slices.DeleteFunc(slices.Clone(kept.Publish), func(key keyring.VerifyKey) bool { return slices.Contains(revoked, key.KID) })
	outcome := "the issuer goes on with its last key"
	if kept.KID == "" || slices.Contains(revoked, kept.KID) {
		kept.KID, kept.Value, outcome = "", nil, "the issuer has no key to sign with, and answers 503 until it has one"
	}
	p.signer, p.refs.signingKeys[name] = &kept, p.in.last.generation(name)
	p.say(true, reason, "%s: %s; %s", signingField, why, outcome)
}

// shorten holds the tokens of a document to the SigningKey's cap, so that a cap
// that was lowered stops neither a rotation nor a revocation. No issuer makes
// tokens for less than grant.MinTokenLifetime: with a cap below it nothing that it
// makes is accepted, and its keys come and go all the same.
func (p *issuerParts) shorten(doc *manifest.IssuerDocument) {
	if p.signer == nil {
		return
	}
	most, wanted := p.signer.MaxTokenLifetime, durationOr(doc.Spec.TokenLifetime, grant.DefaultTokenLifetime)
	if wanted <= most {
		return
	}
	p.signer.MaxTokenLifetime = max(most, grant.MinTokenLifetime)
	doc.Spec.TokenLifetime = &policy.Duration{Duration: p.signer.MaxTokenLifetime}
	p.say(true, v1alpha1.ReasonTokenLifetimeTooLong,
		"spec.tokenLifetime: %s is more than maxTokenLifetime of SigningKey %s (%s), and sidecars would refuse such tokens, so they live for %s: lower the one or raise the other",
		wanted, p.signer.SigningKey, most, p.signer.MaxTokenLifetime)
}

const usersField = "spec.password.usersSecretRef"

// admitUsers takes the users and the hashes of their passwords. Where a line
// cannot be read, or the Secret is gone, those of the last bundle go on.
func (p *issuerParts) admitUsers(spec grant.Spec) {
	ref := spec.Users()
	if ref == nil {
		return
	}
	secret := p.in.from.secrets[ref.Name]
	if secret == nil || reserved(ref.Name) {
		p.keepUsers(v1alpha1.ReasonSecretNotFound, fmt.Sprintf("there is no Secret %s: create it with lines of htpasswd under %s", ref.Name, ref.Key))
		return
	}
	value, found := secret.Data[ref.Key]
	if !found {
		p.keepUsers(v1alpha1.ReasonSecretKeyNotFound, fmt.Sprintf("Secret %s has no key %s", ref.Name, ref.Key))
		return
	}
	if _, errs := password.Parse(value); len(errs) > 0 {
		p.keepUsers(v1alpha1.ReasonUsersInvalid, fmt.Sprintf("key %s of Secret %s: %v", ref.Key, ref.Name, joined(errs)))
		return
	}
	p.users = append([]byte{}, value...)
}

func (p *issuerParts) keepUsers(reason, why string) {
	if p.users = p.in.last.users; p.users == nil {
		p.say(false, reason, "%s: %s; nothing runs before there are users", usersField, why)
		return
	}
	p.say(true, reason, "%s: %s; the users there were go on: to let nobody in, leave the key empty", usersField, why)
}

// admitAccounts takes the keys of the cluster's service accounts.
func (p *issuerParts) admitAccounts(spec grant.Spec) {
	if len(spec.Exchanged()) == 0 {
		return
	}
	p.accounts = p.in.accounts.text
	if p.accounts == nil {
		p.accounts = p.in.last.accounts
	}
	err := p.in.accounts.err
	if p.accounts != nil && err == nil {
		return
	}
	if err == nil {
		err = errors.New("they were not read yet")
	}
	p.say(p.accounts != nil, v1alpha1.ReasonServiceAccountKeysUnavailable,
		"spec.tokenExchange.serviceAccounts: the keys of service accounts cannot be read (%v): bind ClusterRole system:service-account-issuer-discovery to the controller's service account", err)
}
