package stage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Finding is one thing that was looked at: what it was, what was seen, and what
// is wrong with it.
type Finding struct {
	What string
	Saw  string
	Err  error // nil: as it should be
}

// found is a finding that is right when ok.
func found(ok bool, what, saw string) Finding {
	f := Finding{What: what, Saw: saw}
	if !ok {
		f.Err = fmt.Errorf("%s: %s", what, saw)
	}
	return f
}

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.body)) }

// byGuard says whether the sidecar made the answer itself.
func (a answer) byGuard() bool { return a.header.Get("X-Gatepost-Decision") != "" }

// requestTimeout bounds one request: whoever does not answer by then does not.
const requestTimeout = 10 * time.Second

// ask makes a request and reads the whole answer. A body is JSON unless the header
// says otherwise.
func ask(ctx context.Context, from *http.Client, method, url string, header http.Header, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if header != nil {
		request.Header = header
	}
	if body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := from.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(data)}, err
}

// bearer is the header that carries a token.
func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}
