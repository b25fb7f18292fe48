package issuer

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatepost.dev/gatepost/internal/crossorigin"
)

// endpoint is what a path stands for. The zero endpoint is none of ours.
type endpoint string

// The endpoints. Their names are labels.
const (
	toNothing endpoint = ""
	toGet     endpoint = "get-token"
	toRefresh endpoint = "refresh-token"
	toToken   endpoint = "token"
	toJWKS    endpoint = "jwks"
	toOAuth   endpoint = "oauth-authorization-server"
	toOpenID  endpoint = "openid-configuration"
	wellKnown          = "/.well-known/"
	allowPost          = "POST, OPTIONS"
	allowBoth          = "GET, POST, OPTIONS"
	allowRead          = "GET, HEAD, OPTIONS"
)

// isDocument reports whether everybody may read what is there.
func (e endpoint) isDocument() bool { return e == toJWKS || e == toOAuth || e == toOpenID }

// allows are the methods of an endpoint, as Allow names them.
func (e endpoint) allows() string {
	switch e {
	case toGet, toToken:
		return allowPost
	case toRefresh:
		return allowBoth
	case toJWKS, toOAuth, toOpenID:
		return allowRead
	case toNothing:
	}
	return ""
}

// routesOf are the paths of an issuer. What is in front of it may take the
// issuer's own path away or leave it there, so both are known; metadata is found
// behind the path, before it (RFC 8414 section 3) or without it.
func routesOf(issuer string) map[string]endpoint {
	routes := map[string]endpoint{}
	base := ""
	if u, err := url.Parse(issuer); err == nil {
		base = u.Path
	}
	for _, prefix := range []string{"", base} {
		routes[prefix+"/api/get-token"] = toGet
		routes[prefix+"/api/refresh-token"] = toRefresh
		routes[prefix+"/token"] = toToken
		routes[prefix+wellKnown+"jwks.json"] = toJWKS
		for _, to := range []endpoint{toOAuth, toOpenID} {
			routes[prefix+wellKnown+string(to)] = to
			routes[wellKnown+string(to)+base] = to
		}
	}
	return routes
}

// route finds the endpoint of a request and refuses what it does not have.
func (i *Issuer) route(next handler) handler {
	return func(x *exchange) {
		path, _, _ := strings.Cut(x.r.RequestURI, "?")
		x.to = x.in.routes[path]
		allows := x.to.allows()
		switch {
		case x.to == toNothing:
			x.answer(notFound)
		case crossorigin.IsPreflight(x.r.Method, x.r.Header), slices.Contains(strings.Split(allows, ", "), x.r.Method) && x.r.Method != http.MethodOptions:
			next(x)
		default:
			x.answer(answer{status: http.StatusMethodNotAllowed, detail: "Method not allowed", allow: allows})
		}
	}
}

// preflight answers what a browser asks before it sends a request of another
// origin.
func (i *Issuer) preflight(next handler) handler {
	return func(x *exchange) {
		if !crossorigin.IsPreflight(x.r.Method, x.r.Header) {
			next(x)
			return
		}
		x.preflight = true
		h := x.w.Header()
		if allowed := x.in.cors.Preflight(h, x.r.Header); !allowed && x.to.isDocument() {
			openToAll(h)
			h["Access-Control-Allow-Methods"] = []string{"GET, HEAD"}
			h["Access-Control-Allow-Headers"] = []string{"Accept, MCP-Protocol-Version"}
		}
		x.w.WriteHeader(http.StatusNoContent)
	}
}

// dispatch lets the endpoint answer.
func (i *Issuer) dispatch(x *exchange) {
	switch x.to {
	case toGet, toRefresh:
		i.answerSession(x)
	case toToken:
		i.answerToken(x)
	case toJWKS, toOAuth, toOpenID:
		x.answerDocument()
	case toNothing:
		x.answer(notFound)
	}
}
