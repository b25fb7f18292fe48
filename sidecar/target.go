package sidecar

import (
	"net/url"
	"strings"
)

// cutTarget splits a raw request target into path and query. marked says that
// there is a question mark, though nothing may follow it.
func cutTarget(target string) (path, query string, marked bool) {
	return strings.Cut(target, "?")
}

// targetURL is the URL by which net/http writes target back byte for byte to
// the agent at host. The target is in origin form and was judged: it begins
// with one slash.
func targetURL(host, target string) *url.URL {
	path, query, marked := cutTarget(target)
	return &url.URL{Scheme: "http", Host: host, Opaque: path, RawQuery: query, ForceQuery: marked && query == ""}
}
