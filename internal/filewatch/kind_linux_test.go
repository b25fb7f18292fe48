package filewatch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within fails a test whose call takes so long that it must be waiting for somebody.
func within(t *testing.T, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
		return nil
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is mounted may be anything. Reading never waits for it and never takes more
// than it may, and the error names it.
func TestWhatIsNoFileIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		place func(path string) error
		want  string
	}{
		"a pipe": {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "neither a file nor a directory"},
		"a link to a pipe": {func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
		}, "neither a file nor a directory"},
		"an endless device":     {func(path string) error { return os.Symlink("/dev/zero", path) }, "neither a file nor a directory"},
		"an empty device":       {func(path string) error { return os.Symlink("/dev/null", path) }, "neither a file nor a directory"},
		"a link to itself":      {func(path string) error { return os.Symlink(path, path) }, "symbolic links"},
		"a file without an end": {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) }, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, filepath.Join(dir, "agent", "next"), "1")
			path := filepath.Join(dir, "agent", "current")
			must(t, c.place(path))
			for where, watched := range map[string]string{"itself": path, "in a directory": dir} {
				w, err := New(Config{Paths: []string{watched}})
				must(t, err)
				err = within(t, func() error { _, err := w.Read(); return err })
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v, want %q and %s in it", where, err, c.want, path)
				}
			}
		})
	}
}

// A pipe that takes a file's place between the look at it and the reading.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "current")
	must(t, syscall.Mkfifo(path, 0o600))
	err := within(t, func() error { _, err := readFile(path); return err })
	if !errors.Is(err, errKind) {
		t.Errorf("%v, want %v", err, errKind)
	}
}

// A pipe that comes while the files are watched is a failed look, not the end of
// looking.
func TestAPipeEndsNoWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "agent", "current")
	put(t, path, "1")
	w := start(t, dir)
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(path, 0o600))
	awaitChange(t, w)
	if err := within(t, func() error { _, err := w.Read(); return err }); !errors.Is(err, errKind) {
		t.Errorf("%v, want %v", err, errKind)
	}
	must(t, os.Remove(path))
	put(t, path, "2")
	awaitChange(t, w)
	if files, err := w.Read(); err != nil || string(files[path]) != "2" {
		t.Errorf("%q, %v, want 2", files[path], err)
	}
}

func TestAllFilesTogetherAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range maxBytes/maxFileBytes + 1 {
		path := filepath.Join(dir, string(rune('A'+i)))
		put(t, path, "")
		must(t, os.Truncate(path, maxFileBytes))
	}
	if _, _, err := readOnce([]string{dir}); err == nil || !strings.Contains(err.Error(), "with all before it") {
		t.Errorf("%v, want a bound", err)
	}
	must(t, os.Remove(filepath.Join(dir, "A")))
	if _, _, err := readOnce([]string{dir}); err != nil {
		t.Errorf("one file less: %v", err)
	}
}
