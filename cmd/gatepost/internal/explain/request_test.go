package explain_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
)

func TestRequestsAreRead(t *testing.T) {
	t.Parallel()
	want := explain.Request{Method: "GET", Target: "/a?b=c", Header: http.Header{"X-Tenant-Id": {"t1", "t2"}}}
	for sentence, text := range map[string]string{
		"as it is sent":         "GET /a?b=c HTTP/1.1\r\nX-Tenant-ID: t1\r\nx-tenant-id:t2 \r\n\r\nbody: of it",
		"as curl shows it":      "> GET /a?b=c HTTP/1.1\n> X-Tenant-ID: t1\n> X-Tenant-ID: t2\n>\n",
		"as a browser shows it": "\nGET /a?b=c\nX-Tenant-ID: t1\nX-Tenant-ID: t2",
	} {
		got, err := explain.ReadRequest(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", sentence, err, diff)
		}
	}
	for text, want := range map[string]string{
		"": "there is no request", "\n\n": "there is no request", "GET": "is no request line", "GET / HTTP/1.1 x": "is no request line",
		"GET / a": "is no request line", "GET / HTTP/1.1\nX-Tenant": "has no name", "GET / HTTP/1.1\n: x": "has no name", "GET / HTTP/1.1\nA: b\n c: d": "has no name",
	} {
		if _, err := explain.ReadRequest(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzReadRequest: what is read is one line and headers of one line each.
func FuzzReadRequest(f *testing.F) {
	for _, seed := range []string{"GET / HTTP/1.1\r\nA: b\r\n\r\n", "> GET /\n> A: b\n>\n", "\n", "GET /\n:\n", "a b\nc:\rd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := explain.ReadRequest(text)
		if err != nil {
			return
		}
		if got.Method == "" || got.Target == "" || strings.ContainsAny(got.Method+got.Target, " \n") {
			t.Errorf("%q was read as %q %q", text, got.Method, got.Target)
		}
		for name, values := range got.Header {
			if name == "" || strings.ContainsAny(name, " \t\n:") || strings.Contains(strings.Join(values, ""), "\n") {
				t.Errorf("%q was read with %q: %q", text, name, values)
			}
		}
	})
}
