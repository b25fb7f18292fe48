package main

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the real main the command sidecar of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sidecar": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GUARDED", freeAddress(t))
			env.Setenv("ADMIN", freeAddress(t))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await,
		},
	})
}

// freeAddress is a loopback address at which nobody listened a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await URL [status] waits until the address answers with the status.
func await(ts *testscript.TestScript, _ bool, args []string) {
	want := http.StatusText(http.StatusOK)
	if len(args) > 1 {
		want = args[1]
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(args[0])
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if http.StatusText(res.StatusCode) == want {
			return
		}
	}
	ts.Fatalf("%s did not answer %q within 20 s", args[0], want)
}
