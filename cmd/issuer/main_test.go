package main

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatepost.dev/gatepost/test/live"
)

// TestMain makes the real main the command issuer of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"issuer": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PUBLIC", live.FreeAddress(t))
			env.Setenv("ADMIN", live.FreeAddress(t))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await,
		},
	})
}

// await METHOD URL [status] waits until the address answers with the status.
func await(ts *testscript.TestScript, _ bool, args []string) {
	want := http.StatusText(http.StatusOK)
	if len(args) > 2 {
		want = args[2]
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequest(args[0], args[1], nil)
		ts.Check(err)
		res, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if http.StatusText(res.StatusCode) == want {
			return
		}
	}
	ts.Fatalf("%s did not answer %q within a minute", args[1], want)
}

// The exit codes are API.
func TestExitCodes(t *testing.T) {
	none := t.TempDir() + "/none"
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"version":                     {[]string{"version"}, 0},
		"help":                        {[]string{"--help"}, 0},
		"an unknown flag":             {[]string{"--nonsense"}, 2},
		"no document":                 {[]string{"--issuer", none, "--keys", none, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, 2},
		"an address without a colon":  {[]string{"--listen", "28480"}, 2},
		"draining what does not run":  {[]string{"drain", "--admin", "127.0.0.1:1"}, 1},
		"an unknown flag of draining": {[]string{"drain", "--nonsense"}, 2},
	} {
		var out, errs bytes.Buffer
		if got := issuing().Run(t.Context(), c.args, &out, &errs); got != c.want {
			t.Errorf("%s: %d, want %d\n%s", name, got, c.want, &errs)
		}
	}
}
