package attack

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// allows says whether the policy lets this request for a path pass.
func (o oracle) allows(r *request, p string, who identity) bool {
	if o.exempt(r, p) {
		return true
	}
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	below := func(prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }
	parts := strings.Split(p, "/")
	switch {
	case below("/notes/internal"):
		return false
	case below("/public") && r.method == "GET":
		return true
	case who.claims == nil:
		return false
	case below("/crm"):
		return who.client == "crm"
	case below("/notes"), p == "/exact", p == "/ws":
		return true
	case below("/admin"):
		return who.claims["role"] == "admin"
	case len(parts) == 4 && parts[1] == "agents" && parts[3] == "runs" && parts[2] != "" && r.method == "POST":
		return hasScope(who.claims, "agents:run") || hasScope(who.claims, "agents:"+parts[2]+":run")
	case len(parts) == 4 && parts[1] == "tenants" && parts[3] == "files":
		return isTenant(who.claims, parts[2])
	case below("/workspaces"):
		named := r.values("X-Tenant-Id")
		return len(named) == 1 && isTenant(who.claims, named[0])
	}
	return false
}

func isTenant(who map[string]any, name string) bool {
	several, _ := who["tenant_id"].([]any)
	return name != "" && (who["tenant_id"] == name || slices.Contains(several, any(name)))
}

func hasScope(who map[string]any, want string) bool {
	value := who["scopes"]
	if value == nil {
		value = who["scope"]
	}
	switch scopes := value.(type) {
	case string:
		return slices.Contains(strings.Fields(scopes), want)
	case []any:
		return slices.Contains(scopes, any(want))
	}
	return false
}

// exempt reports whether no credential is looked at.
func (o oracle) exempt(r *request, p string) bool {
	return r.method == "GET" && (p == "/health" || p == "/health/probe") || o.carriers && p == "/ws/app" && o.handshake(r)
}

// readings are the paths that agents of all kinds could take a target for:
// decoded once or more, dot segments resolved, slashes merged, backslashes
// turned, parameters and what follows a control cut off. A request must be
// allowed under each of them.
func readings(target string) []string {
	raw, _, _ := strings.Cut(target, "?")
	first, err := url.PathUnescape(raw)
	if err != nil {
		first = raw
	}
	found, seen := []string{first}, map[string]bool{first: true}
	for i := 0; i < len(found) && len(found) < 64; i++ {
		for _, other := range []string{again(found[i]), resolved(found[i]), merged(found[i]), turned(found[i]), stripped(found[i]), ended(found[i])} {
			if !seen[other] {
				seen[other] = true
				found = append(found, other)
			}
		}
	}
	return found
}

func again(p string) string {
	if decoded, err := url.PathUnescape(p); err == nil {
		return decoded
	}
	return p
}

func resolved(p string) string {
	made := path.Clean(p)
	if strings.HasSuffix(p, "/") && made != "/" {
		made += "/"
	}
	return made
}

func merged(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

func turned(p string) string { return strings.ReplaceAll(p, `\`, "/") }

func stripped(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i], _, _ = strings.Cut(parts[i], ";")
	}
	return strings.Join(parts, "/")
}

func ended(p string) string {
	if i := strings.IndexFunc(p, func(c rune) bool { return c < ' ' || c == 0x7f || c == 0x85 || c == 0xfffd }); i >= 0 {
		return p[:i]
	}
	return p
}
