package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// never is an interval within which no test ends.
const never = time.Hour

func watch(t *testing.T, dir string) *Watcher {
	t.Helper()
	w, err := New(Config{Paths: []string{filepath.Join(dir, "policy.json"), filepath.Join(dir, "keys.json")}, Interval: never})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func TestASwappedMountIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount(t, dir, "v0", map[string]string{"policy.json": "0", "keys.json": "0"})
	w := watch(t, dir)
	for _, version := range []string{"1", "2", "3"} {
		// The watcher may not listen yet: it is swapped until it does.
		for deadline := time.Now().Add(30 * time.Second); ; {
			mount(t, dir, "v"+version+time.Now().Format("150405.000000"), map[string]string{"policy.json": version, "keys.json": version})
			select {
			case <-w.Changes():
			case <-time.After(100 * time.Millisecond):
				if time.Now().After(deadline) {
					t.Fatal("a swapped mount was not reported within 30 s")
				}
				continue
			}
			break
		}
		files, err := w.Read()
		if err != nil || string(files[filepath.Join(dir, "keys.json")]) != version {
			t.Fatalf("after the report: %v, %v, want %s", files, err, version)
		}
	}
}

// Files that somebody saves one after the other must be seen twice, an interval
// apart, or half of a change would be read.
func TestSavedFilesWaitForTheirInterval(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "policy.json"), "0")
	put(t, filepath.Join(dir, "keys.json"), "0")
	w := watch(t, dir)
	put(t, filepath.Join(dir, "keys.json"), "1") // the first of two files is saved
	for range 20 {
		put(t, filepath.Join(dir, "next"), "") // something else moves meanwhile
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "other")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.Changes():
			t.Fatal("half of a change was reported")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestHintsEnd(t *testing.T) {
	dir := t.TempDir()
	before := runtime.NumGoroutine()
	for range 50 {
		newHints([]string{dir, filepath.Join(dir, "none")}).close()
		newHints([]string{filepath.Join(dir, "none")}).close()
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if got := runtime.NumGoroutine(); got > before+20 || len(entries) > 90 {
		t.Errorf("%d goroutines after %d, and %d open files", got, before, len(entries))
	}
}
