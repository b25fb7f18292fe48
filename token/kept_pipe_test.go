//go:build unix

package token

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe that takes the place of a kept set between the look at it and the
// opening must not hold a start, as it would until somebody writes into it.
func TestAPipeHoldsNoStart(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	type result struct {
		mode fs.FileMode
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		file, err := openKept(root, "pipe")
		if err != nil {
			opened <- result{err: err}
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			opened <- result{err: err}
			return
		}
		opened <- result{mode: info.Mode()}
	}()
	select {
	case got := <-opened:
		if got.err != nil || got.mode.Type() != fs.ModeNamedPipe {
			t.Errorf("opened %v, %v", got.mode, got.err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("opening waits for somebody who writes")
	}
	if data, err := readKept(root, "pipe"); err == nil || data != nil {
		t.Errorf("a pipe was read: %q", data)
	}
}
