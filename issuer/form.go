package issuer

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a form.
const (
	maxForm   = 8 << 10 // bytes
	maxFields = 64
)

// form is the parameters of a request (RFC 6749 section 3.2): by name the values,
// none of them empty.
type form map[string][]string

// repeatable are the parameters that may occur more than once (RFC 8693 section
// 2.1, RFC 8707 section 2).
var repeatable = map[string]bool{"resource": true, "audience": true}

// get is the parameter's value, empty where it is left out.
func (f form) get(name string) string {
	if values := f[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Why a form is not read. The texts are answers: nothing of the request is in
// them.
var (
	errFormType   = errors.New("The body must be application/x-www-form-urlencoded")       //nolint:staticcheck // goes over the wire as error_description
	errFormQuery  = errors.New("Parameters belong into the body, not into the query")      //nolint:staticcheck // goes over the wire as error_description
	errFormSyntax = errors.New("The body is not a form of at most 64 parameters in UTF-8") //nolint:staticcheck // goes over the wire as error_description
	errFormTwice  = errors.New("A parameter occurs more than once")                        //nolint:staticcheck // goes over the wire as error_description
	errFormLarge  = errors.New("The body is larger than 8 KiB")                            //nolint:staticcheck // goes over the wire as error_description
	errFormRead   = errors.New("The body was not read to its end")                         //nolint:staticcheck // goes over the wire as error_description
)

// isForm reports whether the body says that it is a form.
func isForm(r *http.Request) bool {
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	kind, parameters, err := mime.ParseMediaType(values[0])
	charset, named := parameters["charset"]
	return err == nil && kind == "application/x-www-form-urlencoded" && (!named || strings.EqualFold(charset, "utf-8")) &&
		len(r.Header["Content-Encoding"]) == 0
}

// formTimeout is how long a body may take: it is a packet or two.
const formTimeout = 3 * time.Second

// readForm reads the form in the request's body. Its errors are those above, or
// wrap one.
func (x *exchange) readForm() (form, error) {
	switch {
	case x.r.URL.RawQuery != "" || x.r.URL.ForceQuery:
		return nil, errFormQuery
	case !isForm(x.r):
		return nil, errFormType
	case x.r.ContentLength > maxForm:
		return nil, errFormLarge
	}
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	return parseForm(string(body))
}

// readBody reads a body that is short and comes soon. Afterwards nothing is read
// that could be late: net/http takes a connection whose time is over for one that
// has ended, and the request with it.
func (x *exchange) readBody() ([]byte, error) {
	control := http.NewResponseController(x.w)
	// A body that comes from no connection has no deadline to fail with.
	_ = control.SetReadDeadline(time.Now().Add(formTimeout))
	body, err := io.ReadAll(io.LimitReader(x.r.Body, maxForm+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errFormRead, err)
	case len(body) > maxForm:
		return nil, errFormLarge
	}
	x.whole = true
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// parseForm reads application/x-www-form-urlencoded strictly: what two readers
// could take differently is an error. A parameter without a value counts as left
// out (RFC 6749 section 3.2).
func parseForm(text string) (form, error) {
	parsed := form{}
	if text == "" {
		return parsed, nil
	}
	seen := map[string]bool{}
	fields := strings.Split(text, "&")
	if len(fields) > maxFields {
		return nil, errFormSyntax
	}
	for _, field := range fields {
		name, value, err := parseField(field)
		if err != nil {
			return nil, err
		}
		if seen[name] && !repeatable[name] {
			return nil, errFormTwice
		}
		seen[name] = true
		if value != "" {
			parsed[name] = append(parsed[name], value)
		}
	}
	return parsed, nil
}

func parseField(field string) (name, value string, err error) {
	name, value, _ = strings.Cut(field, "=")
	if name, err = unescape(name); err != nil || name == "" {
		return "", "", errFormSyntax
	}
	if value, err = unescape(value); err != nil {
		return "", "", errFormSyntax
	}
	return name, value, nil
}

// unescape reads one escaped text: printable in the body, UTF-8 without controls
// when read, except for the blanks that a password may hold.
func unescape(text string) (string, error) {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || c == ';' || c == '=' {
			return "", errFormSyntax
		}
	}
	plain, err := url.QueryUnescape(text)
	if err != nil || !utf8.ValidString(plain) || strings.ContainsAny(plain, "\x00\r\n") {
		return "", errFormSyntax
	}
	return plain, nil
}
