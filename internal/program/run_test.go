package program

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// failing is a program whose work ends at once with err.
func failing(err error) Program {
	return Program{Name: "guard", Version: "v1", Work: func(context.Context, []string, io.Writer) error { return err }}
}

func TestAnErrorSetsTheExitCode(t *testing.T) {
	inUse := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	for name, c := range map[string]struct {
		err  error
		code int
		said string
	}{
		"none":                       {nil, 0, ""},
		"help was asked for":         {Usage(flag.ErrHelp), 0, ""},
		"one of run time":            {errors.New("serving"), 1, "guard: serving\n"},
		"a wrong start":              {Usage(errors.New("--keys is missing")), 2, "guard: --keys is missing\n"},
		"a code of its own":          {Exit(3, inUse), 3, "guard: listen: bind: address already in use\n"},
		"a code of its own, wrapped": {fmt.Errorf("at first: %w", Exit(3, io.EOF)), 3, "guard: EOF\n"},
		"an address that is listened on": {
			fmt.Errorf("--listen: %w", inUse), 1,
			"guard: --listen: listen: bind: address already in use: another program listens there; choose another port or end it\n",
		},
	} {
		var out, errs bytes.Buffer
		if got := failing(c.err).Run(t.Context(), nil, &out, &errs); got != c.code || out.Len() > 0 {
			t.Errorf("%s: %d, want %d; stdout %q", name, got, c.code, &out)
		}
		if diff := cmp.Diff(c.said, errs.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCommandsDoNotWork(t *testing.T) {
	draining := http.StatusNoContent
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drain" && r.Host == "localhost" {
			w.WriteHeader(draining)
		}
	}))
	defer admin.Close()
	address := strings.TrimPrefix(admin.URL, "http://")
	quick, patient := failing(io.EOF), failing(io.EOF)
	patient.DrainWait = time.Hour
	for name, c := range map[string]struct {
		program Program
		args    []string
		code    int
		out     string
	}{
		"version":                            {quick, []string{"version"}, 0, "guard v1 go1."},
		"drain":                              {quick, []string{"drain", "--admin", address}, 0, ""},
		"drain without a wait has no --wait": {quick, []string{"drain", "--admin", address, "--wait", "1s"}, 2, ""},
		"drain waits as long as it is told":  {patient, []string{"drain", "--admin", address, "--wait", "1ms"}, 0, ""},
		"drain of what does not run":         {patient, []string{"drain", "--admin", "127.0.0.1:1"}, 1, ""},
		"drain with a flag that is none":     {patient, []string{"drain", "--nonsense"}, 2, ""},
		"all else is work":                   {quick, []string{"drained"}, 1, ""},
	} {
		var out bytes.Buffer
		if got := c.program.Run(t.Context(), c.args, &out, io.Discard); got != c.code || !strings.HasPrefix(out.String(), c.out) {
			t.Errorf("%s: %d, %q, want %d, %q", name, got, &out, c.code, c.out)
		}
	}
	draining = http.StatusForbidden
	if got := quick.Run(t.Context(), []string{"drain", "--admin", address}, io.Discard, io.Discard); got != 1 {
		t.Errorf("a drain that was refused: %d, want 1", got)
	}
}

func TestWaitingEndsWhenAskedTo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		time.AfterFunc(time.Second, stop)
	}))
	defer admin.Close()
	patient := failing(nil)
	patient.DrainWait = time.Hour
	if got := patient.Run(ctx, []string{"drain", "--admin", strings.TrimPrefix(admin.URL, "http://")}, io.Discard, io.Discard); got != 0 {
		t.Errorf("%d, want 0", got)
	}
}

func TestPresentNamesTheFlag(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		named Named
		want  string
	}{
		"a file":                   {Named{Flag: "policy", Path: file}, ""},
		"a directory":              {Named{Flag: "keys", Path: dir, Dir: true}, ""},
		"none was given":           {Named{Flag: "keys", Dir: true}, ""},
		"a file that is not there": {Named{Flag: "policy", Path: file + "s"}, "--policy: stat " + file + "s: no such file"},
		"a directory for a file":   {Named{Flag: "policy", Path: dir}, "--policy: " + dir + " is not a file"},
		"a device for a file":      {Named{Flag: "policy", Path: os.DevNull}, "--policy: " + os.DevNull + " is not a file"},
		"a file for a directory":   {Named{Flag: "keys", Path: file, Dir: true}, "--keys: " + file + " is not a directory"},
	} {
		err := Present(Named{Flag: "good", Path: file}, c.named)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
