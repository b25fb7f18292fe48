// Package advice says of each reason of a decision how the sidecar answers, what
// it means and what to do next. `gatepost explain` prints these texts, and
// docs/troubleshooting.md holds the same under a heading each: a test compares
// them, so that a person reads one thing wherever they look.
package advice

import "gatepost.dev/gatepost/policy"

// Advice is what to know of one reason. The texts are plain sentences; names of
// fields and commands stand between backquotes.
type Advice struct {
	// Answer is what the client gets: status and `detail`.
	Answer string
	// Means says what the sidecar found.
	Means string
	// Do is what to do next, begun in lower case: it follows a colon.
	Do string
}

// For is the advice for a reason; the zero Advice for one that is none of the
// closed set.
func For(reason policy.Reason) Advice { return texts[reason] }

var texts = map[policy.Reason]Advice{
	policy.OK: {
		Answer: "The agent's own answer.",
		Means:  "Every check passed, and the request was forwarded.",
		Do:     "nothing; an error that came back is the agent's own.",
	},
	policy.Exempt: {
		Answer: "The agent's own answer.",
		Means:  "The path is exempt from authentication, so no credential was looked at, and the agent was told no identity.",
		Do:     "nothing, if that is meant; otherwise take the path out of `exemptions`, or the pod's probe off it.",
	},
	policy.MissingCredential: {
		Answer: "401 `Not authenticated`.",
		Means:  "There is no credential where the policy looks for one.",
		Do:     "send `Authorization: Bearer <token>`, or `X-API-Key` where the policy takes API keys; for a health check add an exemption.",
	},
	policy.AmbiguousCredentials: {
		Answer: "400 `Invalid request`.",
		Means:  "There is more than one credential in the request: two Authorization headers, a token in a header and another in a cookie, an API key beside a token.",
		Do:     "send one; a page that has the cookie sends no header, a program with a key no token.",
	},
	policy.MalformedToken: {
		Answer: "401 `Invalid token`.",
		Means:  "The token is not a compact JWS of three clean base64url segments with strict JSON inside.",
		Do:     "look for padding, blanks, quotes, an encrypted token (five segments), or an opaque session token.",
	},
	policy.TokenTooLarge: {
		Answer: "431 `Request too large`, or 401 `Invalid token`.",
		Means:  "The token is longer than `limits.maxTokenBytes`.",
		Do:     "put fewer groups into the token, or raise the limit.",
	},
	policy.AlgNotAllowed: {
		Answer: "401 `Invalid token`.",
		Means:  "The token's `alg` is not among the provider's `algorithms`, or does not fit the key.",
		Do:     "list the algorithm that your signer uses; never list one that it does not use.",
	},
	policy.TypeNotAllowed: {
		Answer: "401 `Invalid token`.",
		Means:  "The token's `typ` is not in `types`, which is `JWT` and `at+jwt` unless set.",
		Do:     "send the access token; this is often an id token, a logout token or a refresh token.",
	},
	policy.UnknownKey: {
		Answer: "401 `Invalid token`.",
		Means:  "No live key has the token's `kid`.",
		Do:     "find out whether the signer uses a key that was removed or revoked; `kubectl get sgk` and `gatepost keys status` show the live ones.",
	},
	policy.SignatureInvalid: {
		Answer: "401 `Invalid token`.",
		Means:  "A key was found, and the signature does not fit it.",
		Do:     "compare the signer's secret with the sidecar's: look for a newline at its end, or for base64 decoding on one side only.",
	},
	policy.Expired: {
		Answer: "401 `Token has expired`.",
		Means:  "The token's `exp` is past, leeway included.",
		Do:     "get a new token and send the request again; clients that know this text do it by themselves.",
	},
	policy.NotYetValid: {
		Answer: "401 `Invalid token`.",
		Means:  "The token's `nbf` or `iat` lies in the future, leeway included.",
		Do:     "set the signer's clock; `clockSkew` forgives up to 60 seconds.",
	},
	policy.IssuerMismatch: {
		Answer: "401 `Invalid token`.",
		Means:  "The token's `iss` is not one of `issuers`, byte for byte.",
		Do:     "compare trailing slashes, http and https, and the host name.",
	},
	policy.AudienceMismatch: {
		Answer: "401 `Invalid token`.",
		Means:  "None of the policy's `audiences` is in the token's `aud`.",
		Do:     "ask the issuer for a token for this agent; at `/token` with `resource`.",
	},
	policy.ClaimInvalid: {
		Answer: "401 `Invalid token`.",
		Means:  "A claim is missing that `requiredClaims` names, has the wrong JSON type, or cannot go into a header.",
		Do:     "look at `claim` in the log record or in `/decisions`, which names it; `exp` must be a number of seconds, `sub` a string or an integer.",
	},
	policy.LifetimeExceeded: {
		Answer: "401 `Invalid token`.",
		Means:  "The token's `exp` lies further after `iat` (without it: after now) than the provider's `maxTokenLifetime`, 24h unless set; with `signingKeyRef` it is the SigningKey's, 15m unless set.",
		Do:     "check that the signer writes seconds and not milliseconds; otherwise mint shorter tokens, or raise `maxTokenLifetime`.",
	},
	policy.Revoked: {
		Answer: "401 `Invalid token`.",
		Means:  "The token was issued before `revokedBefore`.",
		Do:     "sign in again.",
	},
	policy.APIKeyInvalid: {
		Answer: "401 `Invalid API key`, or 403 `Forbidden` where the policy says so.",
		Means:  "No selected APIKey has this key: it was mistyped, removed or suspended.",
		Do:     "look at `kubectl get apk`; make a new one with `gatepost apikey create`.",
	},
	policy.APIKeyExpired: {
		Answer: "401 `Invalid API key`, or 403 `Forbidden` where the policy says so.",
		Means:  "The key is known, and its `expiresAt` is over.",
		Do:     "add a new value to the APIKey.",
	},
	policy.InsufficientScope: {
		Answer: "403 `Insufficient permissions`, with the scopes in `WWW-Authenticate`.",
		Means:  "A rule fits but for its scopes; the answer names them.",
		Do:     "ask the issuer for a token with that scope.",
	},
	policy.RuleDenied: {
		Answer: "403 `Insufficient permissions`.",
		Means:  "A rule denies the request, or none allows this principal this route.",
		Do:     "look at `rule` in the log or in `/decisions`, which names the rule and is missing if none matched. Is the claim a list (`valueType: StringArray`)? Do path, method and provider fit? `gatepost policy test` tries it out.",
	},
	policy.ToolDenied: {
		Answer: "403 `Insufficient permissions`.",
		Means:  "It is reserved for MCP tools, which are not judged yet.",
		Do:     "nothing; no request ends for it today.",
	},
	policy.OriginDenied: {
		Answer: "403 `Origin not allowed`.",
		Means:  "A WebSocket handshake came from an origin that is not in `cors.allowOrigins`, or a token in a cookie from one that is not named there.",
		Do:     "list the page's origin, scheme and port included.",
	},
	policy.BadRequest: {
		Answer: "400 `Invalid request`.",
		Means:  "The path or the framing could be read in two ways: dot segments, `//`, encoded slashes or controls, `;`, both Content-Length and Transfer-Encoding, a WebSocket protocol that is no token.",
		Do:     "send the plain form; Gatepost never repairs a path.",
	},
	policy.MethodNotAllowed: {
		Answer: "405 `Method not allowed`.",
		Means:  "The method is CONNECT or TRACE, which are never forwarded.",
		Do:     "use another method; a client that sends CONNECT takes the agent for a proxy.",
	},
	policy.RequestTooLarge: {
		Answer: "431 or 414 `Request too large`.",
		Means:  "The head of the request is longer than `limits.maxHeaderBytes`.",
		Do:     "send smaller cookies and headers, or raise the limit.",
	},
	policy.RateLimited: {
		Answer: "429 `Too many requests`, or 503 `Agent unavailable`.",
		Means:  "With 429, this address keeps being refused, more often than `limits.rejections` allows; with 503, `limits.maxConcurrentRequests` or `limits.maxConnections` is reached.",
		Do:     "after a 429 mend the client, and list proxies in `trustedProxies`, so that not all clients look like one; after a 503 wait for `Retry-After`, and see how many there are.",
	},
	policy.KeysUnavailable: {
		Answer: "503 `Authentication temporarily unavailable`.",
		Means:  "No key has been loaded yet, or a remote key set has never answered.",
		Do:     "look at the sidecar's log and at `gatepost_jwks_fetches_total`; the request may be sent again.",
	},
}
