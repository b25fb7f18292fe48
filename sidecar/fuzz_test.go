package sidecar

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gatepost.dev/gatepost/internal/cookie"
	"gatepost.dev/gatepost/policy"
)

// headersIn reads lines as a lenient server keeps them.
func headersIn(lines string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(lines, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && name != "" {
			name = http.CanonicalHeaderKey(name)
			h[name] = append(h[name], value)
		}
	}
	return h
}

// FuzzHeaderFolding holds that no header of a client, in whatever company, reaches
// the agent under a name that an application could take for one of ours.
func FuzzHeaderFolding(f *testing.F) {
	outputs := newOutputs([]policy.ClaimToHeader{{Claim: "org", Header: "X-Org"}})
	plan := newHeaderPlan(outputs, nil, []string{"X-Tenant-Id"})
	who := &persona{headers: []field{{"X-Auth-Subject", []string{"verified"}}, {"X-Org", []string{"verified"}}}}
	for _, seed := range []string{
		"X-Auth-Subject: root", "x_auth_subject: root\nX.Auth.Subject: root", "Connection: X-Auth-Subject\nX-Tenant-Id: t1", "X_Org: a\nX-Org: b",
		"X-Tenant-Id: a\nX_Tenant_Id: b", "Authorization: a\nConnection: X-Tenant-Id", "X-User_Id: root", "\xc5\xbfX-Auth-A: b",
	} {
		f.Add(seed)
	}
	application := strings.NewReplacer("_", "-", ".", "-", " ", "-") // what a lenient one does to a name
	f.Fuzz(func(t *testing.T, lines string) {
		in := headersIn(lines)
		out := plan.clean(in.Clone(), in)
		who.identify(out)
		tenants := 0
		for name, values := range out {
			switch folded := application.Replace(strings.ToLower(name)); {
			case strings.HasPrefix(folded, "x-auth-"), strings.HasPrefix(folded, "x-gatepost-"), folded == "x-org":
				if !slices.Equal(values, []string{"verified"}) || name != "X-Auth-Subject" && name != "X-Org" {
					t.Errorf("%q: %q reached the agent", name, values)
				}
			case folded == "x-tenant-id":
				if tenants++; tenants > 1 || !slices.Equal(values, in["X-Tenant-Id"]) {
					t.Errorf("%q: %q reached the agent, judged was %q", name, values, in["X-Tenant-Id"])
				}
			}
		}
	})
}

// FuzzOrigins holds that a page reads answers only when its origin, as a whole
// and alone, is one of those listed.
func FuzzOrigins(f *testing.F) {
	listed := []string{"https://app.example", "http://localhost:3000", "http://[::1]:8080"}
	for _, mode := range []string{policy.CORSGateway, policy.CORSPassthrough} {
		for _, origin := range append(listed, "null", "", "*", "https://app.example/", "HTTPS://app.example", "https://app.example:443", "https://app.example,https://evil.example", "https://xapp.example") {
			f.Add(origin, "", mode, true)
			f.Add(origin, origin, mode, false)
		}
	}
	f.Fuzz(func(t *testing.T, origin, second, mode string, one bool) {
		c := newCORS(&policy.CORS{Mode: mode, AllowOrigins: listed, AllowCredentials: true})
		request := http.Header{"Origin": {origin}}
		if !one {
			request["Origin"] = append(request["Origin"], second)
		}
		answer := http.Header{}
		c.Mark(answer, request, c.Exposed())
		want := one && slices.Contains(listed, origin)
		allowed, credentials := answer["Access-Control-Allow-Origin"], answer["Access-Control-Allow-Credentials"]
		if got := len(allowed) > 0 || len(credentials) > 0; got != want {
			t.Errorf("origins %q: %v", request["Origin"], answer)
		}
		if want && (!slices.Equal(allowed, []string{origin}) || !slices.Equal(credentials, []string{"true"})) {
			t.Errorf("origin %q: %v", origin, answer)
		}
		if opens := c.mayOpen(request); opens != want {
			t.Errorf("origins %q may open a WebSocket: %v", request["Origin"], opens)
		}
		if !slices.Contains(answer["Vary"], "Origin") {
			t.Errorf("Vary %q", answer["Vary"])
		}
	})
}

// FuzzHandshakes holds that only what RFC 6455 section 4.2.1 asks for opens a
// tunnel.
func FuzzHandshakes(f *testing.F) {
	key := "Sec-WebSocket-Key: " + webSocketKey
	for _, lines := range []string{
		"Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n" + key,
		"Connection: keep-alive, upgrade\nUpgrade: WebSocket\nSec-WebSocket-Version: 13\n" + key,
		"Connection: Upgrade\nUpgrade: h2c\nSec-WebSocket-Version: 13\n" + key,
		"Connection: Upgrade\nUpgrade: websocket\nUpgrade: h2c\nSec-WebSocket-Version: 13\n" + key,
		"Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 8\n" + key,
		"Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAA",
	} {
		f.Add("GET", strings.ReplaceAll(lines, ": ", ":"), int64(0), true)
		f.Add("POST", lines, int64(1), false)
	}
	f.Fuzz(func(t *testing.T, method, lines string, length int64, http11 bool) {
		r := &http.Request{Method: method, Header: headersIn(lines), ContentLength: length, ProtoMajor: 1}
		if http11 {
			r.ProtoMinor = 1
		}
		if !isWebSocket(r) {
			return
		}
		upgrade, version, keys := r.Header["Upgrade"], r.Header["Sec-Websocket-Version"], r.Header["Sec-Websocket-Key"]
		asked := strings.Contains(strings.ToLower(strings.Join(r.Header["Connection"], ",")), "upgrade")
		if method != "GET" || length != 0 || !http11 || !asked || len(upgrade) != 1 || strings.ToLower(upgrade[0]) != "websocket" || len(version) != 1 || version[0] != "13" || len(keys) != 1 {
			t.Fatalf("%s of length %d, HTTP/1.1 %v, is taken for a handshake: %v", method, length, http11, r.Header)
		}
		if nonce, err := base64.StdEncoding.DecodeString(keys[0]); err != nil || len(nonce) != 16 {
			t.Errorf("the key %q is taken for 16 bytes", keys[0])
		}
	})
}

// FuzzProtocols holds that a token in the list of protocols never reaches the
// agent as one, and that every other protocol does, in order; and that a list
// in which lenient readers find a token that is not found here is refused.
func FuzzProtocols(f *testing.F) {
	for _, seed := range []string{
		"bearer, a.b.c", "chat, bearer, a.b.c, v2", "bearer", "Bearer,a,bearer,b", "a,,b", "bearer,\nbearer", ",bearer,,a", "bearer\n a.b.c",
		"bearer\xa0, a", "bearer\u00a0,a", "\"bearer\", a", "bearer, bearer, a, b", "eyJh.b.c, bearer", "bearer, x, eyJhIjoxfQ.b.c.d.e, v1.b.c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		var elements, want, tokens []string
		for element := range strings.SplitSeq(strings.ReplaceAll(text, "\n", ","), ",") {
			if element = strings.Trim(element, " \t"); element != "" {
				elements = append(elements, element)
			}
		}
		isBearer := func(element string) bool { return len(element) == 6 && strings.EqualFold(element, "bearer") }
		for i, element := range elements {
			behind := i > 0 && isBearer(elements[i-1])
			if !behind && !isBearer(element) && !isJWSForm(element) {
				want = append(want, element)
			}
		}
		for i := 0; i < len(elements); i++ {
			if isBearer(elements[i]) && i+1 < len(elements) {
				i++
				tokens = append(tokens, elements[i])
			}
		}
		if got := bearerProtocols(lines); !slices.Equal(got, tokens) {
			t.Errorf("tokens %q, want %q", got, tokens)
		}
		out := http.Header{protocolHeader: lines}
		(&exchange{}).withoutBearer(out)
		if slices.ContainsFunc(elements, isBearer) {
			if got := strings.Join(out[protocolHeader], "|"); got != strings.Join(want, ", ") {
				t.Errorf("the agent is offered %q, want %q", got, want)
			}
		} else if !slices.Equal(out[protocolHeader], lines) {
			t.Errorf("the agent is offered %q instead of %q", out[protocolHeader], lines)
		}
		if !areProtocols(lines) {
			return
		}
		for name, trim := range trims {
			if name == "quotes" { // an apostrophe may be part of a protocol
				continue
			}
			for element := range strings.SplitSeq(strings.Join(out[protocolHeader], ","), ",") {
				if strings.EqualFold(trim(element), "bearer") {
					t.Errorf("%q: a reader (%s) finds bearer in %q", lines, name, out[protocolHeader])
				}
			}
		}
	})
}

// isJWSForm reports whether parts of base64url, the first of them an object in
// JSON, stand between two or more dots.
func isJWSForm(text string) bool {
	parts := strings.Split(text, ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	return len(parts) >= 3 && err == nil && strings.HasPrefix(strings.TrimLeft(string(head), " \t\r\n"), "{")
}

// trims are what lenient readers take away around a cookie's name.
var trims = map[string]func(name string) string{
	"quotes": func(name string) string { return strings.Trim(name, "\" '\t") },
	"bytes >= 0x7f": func(name string) string {
		return strings.TrimFunc(asLatin1(name), func(c rune) bool { return c <= ' ' || c >= 0x7f })
	},
	"Latin-1, strip": func(name string) string { return strings.TrimFunc(asLatin1(name), isPythonSpace) },
	"UTF-8, strip":   func(name string) string { return strings.TrimFunc(name, isPythonSpace) },
	"UTF-8, trim":    func(name string) string { return strings.TrimFunc(name, isJSSpace) },
	"Latin-1, trim":  func(name string) string { return strings.TrimFunc(asLatin1(name), isJSSpace) },
}

// asLatin1 decodes each byte to the character of its number.
func asLatin1(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteRune(rune(text[i]))
	}
	return b.String()
}

// isPythonSpace is what str.strip takes away.
func isPythonSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// isJSSpace is what String.prototype.trim takes away.
func isJSSpace(c rune) bool { return c != 0x85 && unicode.IsSpace(c) || c == 0xfeff }

// laxly reads the values of a cookie by splitting at semicolons and equals
// signs, as Starlette and many others do, in any of the ways to trim the name.
func laxly(lines []string, name string, trim func(string) string) (found []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if key, value, ok := strings.Cut(pair, "="); ok && trim(key) == name {
				found = append(found, value)
			}
		}
	}
	return found
}

// FuzzCookies compares with net/http's reader of cookies and with lenient ones:
// every value that they find is found, none that they find is left for the
// agent, and other cookies stay.
func FuzzCookies(f *testing.F) {
	for _, seed := range []string{
		"token=a.b.c", "a=b; token=a.b.c; c=d", "token=a\ntoken=b", "token=a; token=b", "token =a", " token=\"a\"", "token", "token=", "xtoken=a", "token2=a; token=b",
		"a=\"; token=x\"", "a=b,token=c", "TOKEN=a", "a=token=b", "$token=a",
		"token=a; token\xa0=b", "token=a; token\x85=b", "token=a; token\"=b", "token\u00a0=a", "\u3000token=a", "token\u2003=a", "token\ufeff=a", "city=Z\xfcrich", "a=\xa0token=b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r\x00") {
			t.Skip("no header has them: package wire")
		}
		lines := strings.Split(text, "\n")
		read := func(lines []string) (ours []string) {
			r := &http.Request{Header: http.Header{cookieHeader: lines}}
			for _, c := range r.Cookies() {
				if c.Name == "token" && c.Value != "" { // a name without a value holds nothing
					ours = append(ours, strings.Trim(c.Value, "\" \t"))
				}
			}
			return ours
		}
		found := cookie.Values(lines, "token")
		theirs := read(lines)
		if len(found) < len(theirs) {
			t.Errorf("%q: found %q, net/http finds %q", lines, found, theirs)
		}
		if len(found) == 1 && len(theirs) == 1 && strings.Trim(found[0], "\" \t") != theirs[0] {
			t.Errorf("%q: found %q, net/http finds %q", lines, found, theirs)
		}
		kept := cookie.Without(lines, "token")
		if again := cookie.Values(kept, "token"); len(again) > 0 {
			t.Errorf("%q: %q is still in %q", lines, again, kept)
		}
		if left := read(kept); len(left) > 0 {
			t.Errorf("%q: net/http still finds %q in %q", lines, left, kept)
		}
		for name, trim := range trims {
			switch theirs := laxly(lines, "token", trim); {
			case len(found) < len(theirs):
				t.Errorf("%q: found %q, a reader (%s) finds %q", lines, found, name, theirs)
			case len(found) == 1 && len(theirs) == 1 && strings.Trim(found[0], " \t") != strings.Trim(theirs[0], " \t"):
				t.Errorf("%q: found %q, a reader (%s) finds %q", lines, found, name, theirs)
			}
			if left := laxly(kept, "token", trim); len(left) > 0 {
				t.Errorf("%q: a reader (%s) still finds %q in %q", lines, name, left, kept)
			}
		}
		if len(found) == 0 && !slices.Equal(kept, lines) && len(kept) != len(lines) {
			t.Errorf("%q became %q", lines, kept)
		}
	})
}
