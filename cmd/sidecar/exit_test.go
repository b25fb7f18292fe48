package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
		"an address without a colon":  {[]string{"--listen", "28480"}, 2},
		"an upstream that is itself":  {[]string{"--listen", "127.0.0.1:8080", "--upstream", "http://127.0.0.1:8080"}, 2},
		"draining what does not run":  {[]string{"drain", "--admin", "127.0.0.1:1"}, 1},
		"an unknown flag of draining": {[]string{"drain", "--nonsense"}, 2},
	} {
		var out, errs bytes.Buffer
		if got := guarding().Run(t.Context(), c.args, &out, &errs); got != c.want {
			t.Errorf("%s: %d, want %d\n%s", name, got, c.want, &errs)
		}
	}
	for err, want := range map[error]int{
		nil:                            0,
		errors.New("serving"):          1,
		sidecar.ErrNotLoaded:           2,
		errTaken(sidecar.ErrPortTaken): 3,
	} {
		guard := guarding()
		guard.Work = func(context.Context, []string, io.Writer) error { return ended(err) }
		if got := guard.Run(t.Context(), nil, io.Discard, io.Discard); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

func errTaken(err error) error { return fmt.Errorf("port 8000 is %w", err) }

func TestLeadsBack(t *testing.T) {
	for _, c := range []struct {
		listen, upstream string
		want             bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{":80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "localhost:80", true},
		{"[::]:80", "LOCALHOST:80", true},
		{"[::1]:80", "[::1]:80", true},
		{"10.0.0.1:80", "10.0.0.1:80", true},
		{"Agent:80", "agent:80", true},
		{":80", "127.0.0.1:81", false},
		{":80", "agent:80", false},
		{"127.0.0.1:80", "10.0.0.1:80", false},
		{"127.0.0.1:80", "[::1]:80", false},
		{":0", "127.0.0.1:0", false},
		{"", "127.0.0.1:80", false},
	} {
		if got := leadsBack(c.listen, c.upstream); got != c.want {
			t.Errorf("listen %s, upstream %s: %v, want %v", c.listen, c.upstream, got, c.want)
		}
	}
}
