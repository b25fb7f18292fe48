package filewatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mount writes files the way a kubelet does: a directory of its own, linked as
// ..data, and one link per file through it.
func mount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		put(t, filepath.Join(dir, ".."+version, name), content)
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(".."+version, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, paths ...string) *Watcher {
	t.Helper()
	w, err := New(Config{Paths: paths, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(); err != nil {
		t.Fatal(err)
	}
	ctx, done := t.Context(), make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { <-done })
	return w
}

func awaitChange(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(5 * time.Second):
		t.Fatal("no change was reported within 5 s")
	}
}

func TestFilesWithinADirectory(t *testing.T) {
	t.Parallel()
	files := Files{"policy.yaml": nil, "keys/a/current": []byte("1"), "keys/jwks.json": []byte("2"), "keys-of-others/a": nil, "/root.json": []byte("3")}
	for dir, want := range map[string]map[string][]byte{
		"keys":    {"a/current": []byte("1"), "jwks.json": []byte("2")},
		"./keys/": {"a/current": []byte("1"), "jwks.json": []byte("2")},
		"/":       {"root.json": []byte("3")},
		"other":   {},
	} {
		if diff := cmp.Diff(want, files.Within(dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
}

func TestReadListsFilesOfTwoLevels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "policy.yaml"), "p")
	put(t, filepath.Join(dir, "keys", "a", "current"), "1")
	put(t, filepath.Join(dir, "keys", "readme"), "2")
	put(t, filepath.Join(dir, "keys", "a", "deep", "x"), "not read")
	put(t, filepath.Join(dir, "keys", "..2026", "x"), "not read")
	mount(t, filepath.Join(dir, "keys", "b"), "2026_1", map[string]string{"next": "3"})
	w, err := New(Config{Paths: []string{filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "keys")}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := w.Read()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for path, content := range files {
		got[strings.TrimPrefix(path, dir)] = string(content)
	}
	want := map[string]string{"/policy.yaml": "p", "/keys/a/current": "1", "/keys/readme": "2", "/keys/b/next": "3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
}

func TestChangesAreReported(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, dir string){
		"a file is rewritten with the same length": func(t *testing.T, dir string) { put(t, filepath.Join(dir, "a", "k"), "2") },
		"a file is added":                          func(t *testing.T, dir string) { put(t, filepath.Join(dir, "a", "l"), "2") },
		"a directory is added":                     func(t *testing.T, dir string) { put(t, filepath.Join(dir, "b", "k"), "2") },
		"a file is removed":                        func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "a", "k")) },
		"a file is replaced": func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "a", "k.tmp"), "3")
			_ = os.Rename(filepath.Join(dir, "a", "k.tmp"), filepath.Join(dir, "a", "k"))
		},
		"everything goes away": func(t *testing.T, dir string) { _ = os.RemoveAll(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			put(t, filepath.Join(dir, "a", "k"), "1")
			w := start(t, dir)
			change(t, dir)
			awaitChange(t, w)
		})
	}
}

func TestNothingIsReportedWhenNothingChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a", "k"), "1")
	w := start(t, dir)
	put(t, filepath.Join(dir, "a", "k"), "2")
	awaitChange(t, w)
	if _, err := w.Read(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Changes():
		t.Error("a change was reported a second time")
	case <-time.After(500 * time.Millisecond):
	}
}

func TestReadNeverMixesTwoMounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(n int) map[string]string {
		text := fmt.Sprint(n)
		return map[string]string{"policy.json": text, "keys.json": text}
	}
	mount(t, dir, "v0", version(0))
	w := start(t, filepath.Join(dir, "policy.json"), filepath.Join(dir, "keys.json"))
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for n := 1; n <= 300; n++ {
			mount(t, dir, fmt.Sprint("v", n), version(n))
		}
	}()
	readings := 0
	for done := false; !done; readings++ {
		select {
		case <-swapped:
			done = true
		default:
		}
		files, err := w.Read()
		if errors.Is(err, errUnsettled) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		policy, keys := files[filepath.Join(dir, "policy.json")], files[filepath.Join(dir, "keys.json")]
		if string(policy) != string(keys) {
			t.Fatalf("one reading has policy %s and keys %s", policy, keys)
		}
	}
	files, err := w.Read()
	if err != nil || string(files[filepath.Join(dir, "keys.json")]) != "300" {
		t.Errorf("the last reading is %v, %v, want 300", files, err)
	}
	t.Logf("%d readings during 300 swaps", readings)
}

func TestReadNamesThePath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "huge"), strings.Repeat("x", maxFileBytes+1))
	for name, c := range map[string]struct{ path, want string }{
		"a missing file":   {filepath.Join(dir, "none"), "none: no such file"},
		"a file too large": {filepath.Join(dir, "huge"), "huge: larger than"},
	} {
		w, err := New(Config{Paths: []string{c.path}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a watcher of nothing was made")
	}
}
