package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"gatepost.dev/gatepost/sidecar"
)

// The exit codes are API: the controller reads a pod's last one.
func TestExitCodes(t *testing.T) {
	none := t.TempDir() + "/none"
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"version":                     {[]string{"version"}, 0},
		"help":                        {[]string{"--help"}, 0},
		"an unknown flag":             {[]string{"--nonsense"}, 2},
		"no policy":                   {[]string{"--policy", none, "--keys", none, "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--admin", "127.0.0.1:0"}, 2},
		"draining what does not run":  {[]string{"drain", "--admin", "127.0.0.1:1"}, 1},
		"an unknown flag of draining": {[]string{"drain", "--nonsense"}, 2},
	} {
		var out, errs bytes.Buffer
		if got := run(t.Context(), c.args, &out, &errs); got != c.want {
			t.Errorf("%s: %d, want %d\n%s", name, got, c.want, &errs)
		}
	}
	for err, want := range map[error]int{
		nil:                            0,
		errors.New("serving"):          1,
		sidecar.ErrNotLoaded:           2,
		errTaken(sidecar.ErrPortTaken): 3,
	} {
		if got := ended(err, &bytes.Buffer{}); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

func errTaken(err error) error { return fmt.Errorf("port 8000 is %w", err) }
