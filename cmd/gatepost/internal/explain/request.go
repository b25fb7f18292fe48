package explain

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ReadRequest reads the head of an HTTP/1.1 request as it is sent, or as curl -v
// and the developer tools of browsers show it (lines that begin with "> ", no
// version behind the target). What follows an empty line is left out. It is
// lenient about line ends, and about nothing that a decision depends on.
func ReadRequest(text string) (Request, error) {
	read := Request{Header: http.Header{}}
	first := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if shown, ok := strings.CutPrefix(line, ">"); ok {
			line = strings.TrimPrefix(shown, " ")
		}
		switch {
		case line == "" && first:
			continue
		case line == "":
			return read, nil
		case first:
			words := strings.Fields(line)
			if len(words) < 2 || len(words) > 3 || len(words) == 3 && !strings.HasPrefix(words[2], "HTTP/") {
				return Request{}, errors.New("the first line is no request line: write it like \"GET /agents HTTP/1.1\"")
			}
			read.Method, read.Target, first = words[0], words[1], false
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				return Request{}, fmt.Errorf("line %d of the headers has no name: write it like \"X-Tenant-ID: t1\"", len(read.Header)+1)
			}
			read.Header.Add(name, strings.Trim(value, " \t"))
		}
	}
	if first {
		return Request{}, errors.New("there is no request")
	}
	return read, nil
}
