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

// Nor must a pipe in the place of the directory.
func TestAPipeForADirectoryHoldsNoStart(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "state")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 2)
	go func() {
		_, err := shelf{dir: pipe}.take(feedKey{}, time.Now(), time.Hour)
		failed <- err
		failed <- shelf{dir: pipe}.put(feedKey{}, &goodSet{})
	}()
	for range 2 {
		select {
		case err := <-failed:
			if err == nil {
				t.Error("a pipe was taken for a directory")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("opening waits for somebody who writes")
		}
	}
}

// What was opened is judged by itself: a pipe may have been given the number of the
// file that was looked at, on file systems that use numbers again.
func TestAnOpenPipeIsNoKeptSet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "set")
	for name, place := range map[string]func() error{
		"a file": func() error { return os.WriteFile(path, nil, 0o600) },
		"a pipe": func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := place(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkKept(info); (err == nil) != (name == "a file") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
