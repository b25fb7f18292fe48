package attack

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// mutator changes requests at random; the same source of randomness makes the
// same changes.
type mutator struct {
	*rand.Rand

	honest, flawed [][]byte // the corpus
}

// packet makes one request or what is left of it, and says whether it was
// changed.
func (m mutator) packet() (text []byte, changed bool) {
	from := m.honest
	if m.IntN(8) == 0 {
		from = m.flawed
	}
	text = bytes.Clone(from[m.IntN(len(from))])
	times := []int{0, 1, 1, 1, 1, 1, 2, 2, 3, 4}[m.IntN(10)]
	for range times {
		text = m.change(text)
	}
	return text, times > 0
}

// change applies one mutation.
func (m mutator) change(text []byte) []byte {
	if len(text) == 0 {
		return text
	}
	switch m.IntN(10) {
	case 0:
		return m.bytes(text)
	case 1, 2:
		return m.lines(text)
	case 3:
		return m.names(text)
	case 4, 5:
		return m.added(text)
	case 6, 7:
		return m.target(text)
	case 8:
		return m.body(text)
	default:
		return m.token(text)
	}
}

func pick[T any](m mutator, list ...T) T { return list[m.IntN(len(list))] }

// bytes changes single bytes or pieces, anywhere.
func (m mutator) bytes(text []byte) []byte {
	at := m.IntN(len(text))
	special := "\x00\t\n\r \x0b\x1f\x7f\x80\xff\"#%&'(),-./:;<=>?@[\\]_{|}~09azAZ"
	switch m.IntN(8) {
	case 0:
		text[at] ^= 1 << m.IntN(8)
	case 1:
		text[at] = byte(m.IntN(256))
	case 2, 3:
		return insert(text, at, special[m.IntN(len(special)):][:1])
	case 4:
		text[at] = special[m.IntN(len(special))]
	case 5:
		end := min(len(text), at+1+m.IntN(12))
		return append(text[:at:at], text[end:]...)
	case 6:
		end := min(len(text), at+1+m.IntN(40))
		return insert(text, end, string(text[at:end]))
	default:
		return text[:at] // cut off
	}
	return text
}

func insert(text []byte, at int, what string) []byte {
	made := append(text[:at:at], what...)
	return append(made, text[at:]...)
}

// split cuts a request into the lines of its head and its body.
func split(text []byte) (lines []string, body []byte) {
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	return strings.Split(string(head), "\r\n"), body
}

func join(lines []string, body []byte) []byte {
	return append([]byte(strings.Join(lines, "\r\n")+"\r\n\r\n"), body...)
}

// lines doubles, moves, folds and breaks the lines of a head.
func (m mutator) lines(text []byte) []byte {
	lines, body := split(text)
	i, j := m.IntN(len(lines)), m.IntN(len(lines))
	switch m.IntN(9) {
	case 0: // double
		lines = append(lines, lines[i])
	case 1:
		lines = append(lines[:i+1:i+1], lines[i:]...)
	case 2:
		lines[i], lines[j] = lines[j], lines[i]
	case 3: // leave out
		lines = append(lines[:i:i], lines[i+1:]...)
	case 4: // fold
		if line := lines[i]; len(line) > 0 {
			at := m.IntN(len(line))
			lines[i] = line[:at] + "\r\n" + pick(m, " ", "\t") + line[at:]
		}
	case 5: // another line end
		return bytes.Replace(join(lines, body), []byte("\r\n"), []byte(pick(m, "\n", "\r", "\r\r\n", "\n\r", "\x00\r\n", " \r\n", "\t\r\n")), 1+m.IntN(2))
	case 6: // blanks around
		name, value, _ := strings.Cut(lines[i], ":")
		lines[i] = pick(m, " ", "", "\t") + name + pick(m, " ", "", "\t", "") + ":" + pick(m, "", " ", "\t", "  ") + strings.TrimSpace(value) + pick(m, "", " ", "\t")
	case 7: // no line between head and body
		return []byte(strings.Join(lines, "\r\n") + pick(m, "\r\n", "\n\n", "\r\n\n", "\n\r\n") + string(body))
	default: // an empty line before
		return append([]byte(pick(m, "\r\n", "\r\n\r\n", "\n", " \r\n")), text...)
	}
	return join(lines, body)
}

// names respells the name of one header.
func (m mutator) names(text []byte) []byte {
	lines, body := split(text)
	if len(lines) < 2 {
		return text
	}
	i := 1 + m.IntN(len(lines)-1)
	name, value, _ := strings.Cut(lines[i], ":")
	switch m.IntN(6) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = strings.ToLower(name)
	case 2:
		name = strings.ReplaceAll(name, "-", pick(m, "_", ".", "", "--", " "))
	case 3:
		name = pick(m, "X-Auth-Subject", "X_Auth_Roles", "X-Gatepost-Client", "x.auth.tenant", "X-Org", "x_org", "X-User-Id", "X-Forwarded-For", "Authorization")
	case 4:
		name += pick(m, "\x00", "\r", "\u017f", "\u212a", ";", "-", "_")
	default:
		value = pick(m, "", " ", " "+strings.Repeat("a", m.IntN(3000)), value+","+value, value+"\x00")
	}
	lines[i] = name + ":" + value
	return join(lines, body)
}

// added adds a header that frames, steers or names somebody.
func (m mutator) added(text []byte) []byte {
	lines, body := split(text)
	n := len(body)
	line := pick(m,
		fmt.Sprintf("Content-Length: %d", n), fmt.Sprintf("Content-Length: %d", n+m.IntN(20)), fmt.Sprintf("Content-Length: %d", max(0, n-m.IntN(20))), "Content-Length: 0",
		"Content-Length: +"+fmt.Sprint(n), "Content-Length: 0x1", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity",
		"Transfer-Encoding : chunked", "Transfer_Encoding: chunked", "Host: agent.example", "Host: evil.example", "Host:", "Connection: close", "Connection: keep-alive",
		"Connection: X-Auth-Subject, Authorization, Host", "Connection: Content-Length", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Expect: 100-continue", "Trailer: X-Auth-Subject", "TE: trailers", "Keep-Alive: timeout=5",
		"X-Auth-Subject: root", "X_Auth_Roles: [\"admin\"]", "X-Auth.Tenant: t2", "X-Org: evil", "X-User-Id: root", "X-Gatepost-Client: crm", "X-Original-URL: /admin", "X-Rewrite-URL: /admin",
		"X-HTTP-Method-Override: DELETE", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil.example", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Forwarded-Uri: /health",
		"Authorization: Bearer x.y.z", "Authorization: Basic dTpw", "Cookie: token=x", "X-API-Key: gpk_x", "X-Tenant-Id: t2", "Origin: https://app.example", "Origin: null",
		"Access-Control-Request-Method: GET", "Range: bytes=0-1", "Idempotency-Key: 1", "Accept-Encoding: gzip")
	at := 1 + m.IntN(len(lines))
	lines = append(lines[:at:at], append([]string{line}, lines[at:]...)...)
	return join(lines, body)
}

// target changes the request line.
func (m mutator) target(text []byte) []byte {
	lines, body := split(text)
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 {
		return text
	}
	p := parts[1]
	at := m.IntN(len(p) + 1)
	switch m.IntN(14) {
	case 0, 1, 2:
		p = p[:at] + pick(m, "/../", "/./", "//", "/..;/", ";x=y", "%2f", "%5c", "\\", "%00", "%0a", "%2e%2e/", "%252e", "%c0%af", "#", "?", "%", "%zz", "%20", "/", ".", "\x00", "\t", "%ff", "é") + p[at:]
	case 3, 4: // encode one letter, perhaps twice
		if at < len(p) {
			p = p[:at] + fmt.Sprintf(pick(m, "%%%02x", "%%%02X", "%%25%02x"), p[at]) + p[at+1:]
		}
	case 5, 6, 7: // another route
		p = pick(m, "/health", "/health/", "/health/probe", "/public/x", "/public", "/publicx", "/admin", "/admin/x", "/notes/internal", "/notes/internal/x", "/agents/a/runs", "/tenants/t1/files", "/tenants/t2/files", "/exact", "/ws", "/workspaces/x", "/", "/metrics")
	case 8: // climb from one route to another
		p = pick(m, "/public/", "/health/", "/notes/") + pick(m, "..", "%2e%2e", "..%2f", "..\\", "x/..", ".%2e") + "/" + pick(m, "admin", "notes/internal", "health")
	case 9: // another form
		p = pick(m, "http://agent.example", "http://evil.example", "*", "agent.example:80", "//evil.example", "") + pick(m, p, "")
	case 10, 11:
		parts[0] = pick(m, "GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "get", "Post", "FOO", "PRI", "")
	case 12:
		parts[2] = pick(m, "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.2", "HTTP/1.1 ", "HTTP/01.1", "")
	default:
		p = strings.Map(func(c rune) rune {
			if m.IntN(6) == 0 && 'a' <= c && c <= 'z' {
				return c - 'a' + 'A'
			}
			return c
		}, p)
	}
	parts[1] = p
	lines[0] = strings.Join(parts, pick(m, " ", " ", " ", " ", " ", " ", "  ", "\t"))
	return join(lines, body)
}

// body puts a request or chunks of many kinds behind the head.
func (m mutator) body(text []byte) []byte {
	lines, _ := split(text)
	hidden := string(m.honest[m.IntN(len(m.honest))])
	chunk := func(s string) string {
		return fmt.Sprintf(pick(m, "%x", "%x", "%x", "%X", "0%x", "%x;a=b", "0x%x", "+%x", " %x", "%x ", "%x;\n"), len(s)+pick(m, 0, 0, 0, 0, 1, -1, 5)) +
			pick(m, "\r\n", "\r\n", "\r\n", "\n", "\r") + s + pick(m, "\r\n", "\r\n", "\r\n", "\n", "", "x\r\n")
	}
	framed, content := "", hidden
	switch m.IntN(4) {
	case 0:
		framed = fmt.Sprintf("Content-Length: %d", len(content))
	case 1:
		framed = fmt.Sprintf("Content-Length: %d", m.IntN(len(content)+1))
	default:
		framed = pick(m, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding: CHUNKED", "transfer-encoding:chunked")
		content = chunk(hidden[:m.IntN(len(hidden))]) + chunk(hidden) + pick(m, "0\r\n\r\n", "0\r\n\r\n", "0\r\nX-Auth-Subject: root\r\n\r\n", "0\r\n", "00\r\n\r\n", "0\n\n", "")
	}
	kept := lines[:0:0]
	for _, line := range lines {
		lower := strings.ToLower(line)
		if m.IntN(20) == 0 || !strings.HasPrefix(lower, "content-length") && !strings.HasPrefix(lower, "transfer-encoding") {
			kept = append(kept, line)
		}
	}
	return join(append(kept, framed), []byte(content))
}

// token edits the first thing that looks like a token.
func (m mutator) token(text []byte) []byte {
	at := bytes.Index(text, []byte("eyJ"))
	if at < 0 {
		return m.added(text)
	}
	end := at
	for end < len(text) && text[end] > ' ' && text[end] != ',' && text[end] != '"' {
		end++
	}
	parts := strings.Split(string(text[at:end]), ".")
	i, j := m.IntN(len(parts)), m.IntN(len(parts))
	switch m.IntN(9) {
	case 0:
		parts[i], parts[j] = parts[j], parts[i]
	case 1:
		parts = append(parts[:i:i], parts[i+1:]...)
	case 2:
		parts = append(parts, parts[i])
	case 3:
		parts[i] = string(m.bytes([]byte(parts[i] + "A")))
	case 4:
		parts[i] += pick(m, "=", "A", ".", "%3d", " ", "==")
	case 5: // other claims, the same signature
		if len(parts) == 3 {
			parts[1] = b64(m.edited(parts[1]))
		}
	case 6:
		parts[0] = b64([]byte(pick(m, `{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"HS256","kid":"r1"}`, `{"alg":"RS256","kid":"r1"}`, `{}`, `{"alg":"HS256","crit":["x"]}`)))
	case 7:
		parts = strings.Split(pick(m, ".", "..", "a.b.c", "e30.e30.e30", strings.Join(parts, "")), ".")
	default: // twice, or another scheme
		return append(append(append(text[:at:at], strings.Join(parts, ".")+pick(m, ",", ", Bearer ", " ")...), text[at:end]...), text[end:]...)
	}
	return append(append(text[:at:at], strings.Join(parts, ".")...), text[end:]...)
}

// edited changes a word of a segment's JSON.
func (m mutator) edited(segment string) []byte {
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return []byte(segment)
	}
	return bytes.Replace(text, []byte(pick(m, "user", "u-1", "t1", "agent", "notes:read", "o1")), []byte(pick(m, "admin", "root", "t2", "x", "agents:run", "")), 1)
}
