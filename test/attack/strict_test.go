package attack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// request is one request as this package reads it.
type request struct {
	method, target, version string
	fields                  []field
	body                    []byte
	head                    bool // the head is complete
	whole                   bool // the body is too
}

// field is one header line.
type field struct{ name, value string }

// values are those of a header, letter case aside.
func (r *request) values(name string) []string {
	var all []string
	for _, f := range r.fields {
		if strings.EqualFold(f.name, name) {
			all = append(all, f.value)
		}
	}
	return all
}

// errShort says that more bytes are needed.
var errShort = errors.New("incomplete")

// reader reads HTTP/1.1 requests by the letter of RFC 9112. A canonical one takes
// only the one way of writing a request that leaves no server a choice.
type reader struct{ canonical bool }

// next reads the request that b begins with and says how long it is. It returns
// errShort, with what is known so far, when b ends too early, and other errors
// for what is no request.
func (p reader) next(b []byte) (request, int, error) {
	var r request
	skipped := 0
	if !p.canonical && bytes.HasPrefix(b, []byte("\r\n")) {
		skipped = 2
	}
	end := bytes.Index(b[skipped:], []byte("\r\n\r\n"))
	if end < 0 {
		return r, 0, p.incomplete(b[skipped:])
	}
	end += skipped
	lines := strings.Split(string(b[skipped:end]), "\r\n")
	if err := p.line(&r, lines[0]); err != nil {
		return r, 0, err
	}
	for _, line := range lines[1:] {
		f, err := p.field(line)
		if err != nil {
			return r, 0, err
		}
		r.fields = append(r.fields, f)
	}
	chunked, length, err := p.framing(&r)
	if err != nil {
		return r, 0, err
	}
	r.head = true
	n, err := p.body(&r, b[end+4:], chunked, length)
	r.whole = err == nil
	return r, end + 4 + n, err
}

// incomplete says whether a head without its end can still become one.
func (p reader) incomplete(b []byte) error {
	if i := bytes.IndexByte(b, '\n'); i >= 0 && (i == 0 || b[i-1] != '\r') {
		return errors.New("a bare line feed")
	}
	return errShort
}

func (p reader) line(r *request, line string) error {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !token(parts[0]) || !strings.HasPrefix(parts[1], "/") || !printable(parts[1]) {
		return fmt.Errorf("no request line: %.80q", line)
	}
	if parts[2] != "HTTP/1.1" && (p.canonical || parts[2] != "HTTP/1.0") {
		return fmt.Errorf("version %.20q", parts[2])
	}
	r.method, r.target, r.version = parts[0], parts[1], parts[2]
	return nil
}

// field reads a header line; in the canonical form there is one blank after the
// colon and none at the end.
func (p reader) field(line string) (field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !token(name) {
		return field{}, fmt.Errorf("no header line: %.80q", line)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return field{}, fmt.Errorf("a control in a header: %.80q", line)
		}
	}
	trimmed := strings.Trim(value, " \t")
	if p.canonical && value != " "+trimmed && value != " " {
		return field{}, fmt.Errorf("blanks around a header's value: %.80q", line)
	}
	return field{name, trimmed}, nil
}

// framing finds how the body is framed, RFC 9112 section 6.
func (p reader) framing(r *request) (chunked bool, length int, err error) {
	lengths, codings := r.values("Content-Length"), r.values("Transfer-Encoding")
	switch hosts := len(r.values("Host")); {
	case hosts > 1, hosts == 0 && r.version == "HTTP/1.1":
		return false, 0, fmt.Errorf("%d hosts", hosts)
	case len(lengths)+len(codings) > 1:
		return false, 0, errors.New("more than one framing")
	case len(codings) == 1 && (!strings.EqualFold(codings[0], "chunked") || r.version == "HTTP/1.0" || p.canonical && codings[0] != "chunked"):
		return false, 0, fmt.Errorf("coding %.40q", codings[0])
	case len(codings) == 1:
		return true, 0, nil
	case len(lengths) == 0:
		return false, 0, nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 62)
	if err != nil || strings.ContainsAny(lengths[0], "+_") {
		return false, 0, fmt.Errorf("length %.40q", lengths[0])
	}
	return false, int(n), nil
}

func (p reader) body(r *request, b []byte, chunked bool, length int) (int, error) {
	if chunked {
		return p.chunks(r, b)
	}
	r.body = b[:min(length, len(b))]
	if len(b) < length {
		return len(b), errShort
	}
	return length, nil
}

// chunks reads a chunked body, RFC 9112 section 7.1.
func (p reader) chunks(r *request, b []byte) (int, error) {
	n := 0
	for {
		line, ok := lineOf(b[n:])
		if !ok {
			return n, p.incomplete(b[n:])
		}
		digits, extension, extended := strings.Cut(line, ";")
		size, err := strconv.ParseUint(digits, 16, 61)
		if err != nil || strings.ContainsAny(digits, "+_") || !blankOrPrintable(extension) || p.canonical && (extended || digits != strconv.FormatUint(size, 16)) {
			return n, fmt.Errorf("no chunk size: %.40q", line)
		}
		n += len(line) + 2
		if size == 0 {
			return p.trailers(b, n)
		}
		data := b[n:]
		r.body = append(slices.Clip(r.body), data[:min(int(size), len(data))]...)
		if len(data) < int(size)+2 {
			return len(b), errShort
		}
		if string(data[size:size+2]) != "\r\n" {
			return n, errors.New("a chunk is longer than it says")
		}
		n += int(size) + 2
	}
}

// trailers reads what stands after the last chunk; canonical requests have none.
func (p reader) trailers(b []byte, n int) (int, error) {
	for {
		line, ok := lineOf(b[n:])
		switch {
		case !ok:
			return n, p.incomplete(b[n:])
		case line == "":
			return n + 2, nil
		case p.canonical:
			return n, fmt.Errorf("a trailer: %.40q", line)
		}
		if _, err := p.field(line); err != nil {
			return n, err
		}
		n += len(line) + 2
	}
}

// lineOf returns the first line without its end.
func lineOf(b []byte) (string, bool) {
	line, _, ok := bytes.Cut(b, []byte("\r\n"))
	return string(line), ok
}

func token(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}

func blankOrPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c >= 0x7f })
}
