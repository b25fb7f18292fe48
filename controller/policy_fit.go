package controller

import (
	"errors"
	"fmt"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// maxBundleBytes is how much policy.json and keys.json may have together: a
// Secret holds 1 MiB, and new keys of SigningKeys must always find room.
const maxBundleBytes = 1<<20 - reservedBytes

// reservedBytes is room for the keys of SigningKeys alone, but for a little that
// the rest of the Secret takes.
const reservedBytes = 64 << 10

// fit makes the providers and clients fit beside so many bytes of policy.json.
// The largest new data of a provider goes first, which keeps its last; keys of
// SigningKeys never go. The youngest clients go only where it is pressed, because
// nothing else is left to write: a bundle that cannot be written revokes nothing.
func (in bundleInput) fit(doc *manifest.Document, refs *resolution, policyBytes int, pressed bool) error {
	for {
		data, err := keyring.File{SigningKeys: refs.signingKeys, Revoked: refs.revoked, Providers: refs.providers, APIKeys: refs.clients}.Marshal()
		if err != nil {
			return err
		}
		over := len(data) + policyBytes - maxBundleBytes
		if over > 0 {
			over -= min(signingRoom(doc.Spec, refs), reservedBytes-4<<10)
		}
		if over <= 0 {
			return nil
		}
		if name := largestNew(doc.Spec, refs, in.last); name != "" {
			refs.keepLast(name, in.last.file)
			continue
		}
		if !pressed || len(refs.clients) == 0 {
			return fmt.Errorf("policy and keys are %d bytes %w: use fewer keys, certificates or API keys, or make two policies", over, errTooLarge)
		}
		refs.dropClients(over)
	}
}

var errTooLarge = errors.New("too large for a Secret")

// largestNew is the provider whose data takes most room and has grown since the
// last bundle; empty: none.
func largestNew(spec policy.Spec, refs *resolution, last written) string {
	if spec.JWT == nil {
		return ""
	}
	name, most := "", 0
	for i := range spec.JWT.Providers {
		provider := &spec.JWT.Providers[i]
		entry := refs.providers[provider.Name]
		kept, found := last.lastOf(provider)
		if size := roomOf(entry); provider.SigningKeyRef == nil && found && size > roomOf(kept) && size > most {
			name, most = provider.Name, size
		}
	}
	return name
}

// signingRoom is how many bytes the keys of SigningKeys take in keys.json.
func signingRoom(spec policy.Spec, refs *resolution) int {
	if spec.JWT == nil {
		return 0
	}
	own := map[string]keyring.FileProvider{}
	for i := range spec.JWT.Providers {
		if provider := &spec.JWT.Providers[i]; provider.SigningKeyRef != nil {
			own[provider.Name] = refs.providers[provider.Name]
		}
	}
	data, err := keyring.File{Providers: own}.Marshal()
	if err != nil {
		return 0 // the whole file has said it already
	}
	return len(data)
}

// roomOf is about what a provider takes in keys.json.
func roomOf(entry keyring.FileProvider) int {
	size := len(entry.CABundle)
	for _, key := range entry.Keys {
		size += len(key.KID) + len(key.K) + len(key.JWK)
	}
	return size
}

// keepLast puts back what the provider had.
func (r *resolution) keepLast(name string, last *keyring.File) {
	r.providers[name] = last.Providers[name]
	r.problems = append(r.problems, refProblem{
		provider: name, reason: v1alpha1.ReasonBundleTooLarge, kept: true,
		message: fmt.Sprintf("the keys and certificates of all providers are too large for one Secret: use fewer; provider %s keeps its last keys", name),
	})
}

// dropClients leaves out the youngest clients until so many bytes are saved.
func (r *resolution) dropClients(bytes int) {
	all := len(r.clients)
	for bytes > 0 && len(r.clients) > 0 {
		end := len(r.clients) - 1
		bytes -= sizeOf(r.clients[end])
		r.clients = r.clients[:end]
	}
	r.problems = append(r.problems, refProblem{
		reason: v1alpha1.ReasonTooManyAPIKeys,
		message: fmt.Sprintf("spec.apiKeyAuth.credentialSelector: beside the keys of the providers there is no room for the %d youngest APIKeys, which are not let in; narrow the selector or make two policies",
			all-len(r.clients)),
	})
}
