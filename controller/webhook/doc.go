// Package webhook is the admission edge of package inject: it decodes a pod,
// looks up the policies of its namespace in the manager's cache, lets inject
// decide, and answers with a patch or a refusal. It makes no network call for a
// pod and reads no Secret for one; user strings go into typed fields only.
//
// Every replica serves. The server's certificate lives in a Secret that the
// replicas keep valid between them (self-managed), or in files that somebody
// else keeps (cert-manager). Self-managed means: one long-lived CA in that
// Secret, a server certificate that is replaced long before it ends, and the CA
// written into the MutatingWebhookConfiguration at run time. While a CA is
// being replaced both are trusted, so that no replica is refused on the way.
package webhook
