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
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if shown, ok := strings.CutPrefix(line, ">"); ok {
			line = strings.TrimPrefix(shown, " ")
		}
		var err error
		switch begun := read.Method != ""; {
		case line == "" && begun:
			return read, nil
		case line == "":
		case begun:
			err = read.take(line)
		default:
			err = read.begin(line)
		}
		if err != nil {
			return Request{}, err
		}
	}
	if read.Method == "" {
		return Request{}, errors.New("there is no request")
	}
	return read, nil
}

// begin reads the request line.
func (r *Request) begin(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 || len(words) > 3 || len(words) == 3 && !strings.HasPrefix(words[2], "HTTP/") {
		return errors.New("the first line is no request line: write it like \"GET /agents HTTP/1.1\"")
	}
	r.Method, r.Target = words[0], words[1]
	return nil
}

// take reads the line of one header.
func (r *Request) take(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return fmt.Errorf("line %d of the headers has no name: write it like \"X-Tenant-ID: t1\"", len(r.Header)+1)
	}
	r.Header.Add(name, strings.Trim(value, " \t"))
	return nil
}
