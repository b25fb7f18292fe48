package filewatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Config says what is watched.
type Config struct {
	// Paths are files and directories. Of a directory, its files and those of
	// the directories in it are read.
	Paths []string
	// Interval is the time between two looks; zero means 250 milliseconds.
	Interval time.Duration
}

// Watcher watches files. Its methods may be called from several goroutines.
type Watcher struct {
	config  Config
	changes chan struct{}

	mu    sync.Mutex
	known look // what the caller was last given, or told about
}

// look is what one look at the files saw. Two looks that are equal saw the same
// files; stamps that are older than a moment vouch for the contents.
type look struct {
	stamps []stamp
	sum    [sha256.Size]byte
	failed bool
	fresh  bool // a file changed so recently that its stamp may not show the next change
}

// moment is how long after a change a file's stamp may stay the same through
// another one, on the coarsest file systems.
const moment = 2 * time.Second

// Files that were just written are read twice, settle apart, up to attempts
// times.
const (
	settle   = 20 * time.Millisecond
	attempts = 50
)

// errUnsettled is returned when the files changed all the while.
var errUnsettled = errors.New("reading files: they kept changing for a second; waiting for them to settle")

// New returns a watcher of c.Paths, of which there is at least one. Nothing is
// read before Read or Run.
func New(c Config) (*Watcher, error) {
	if len(c.Paths) == 0 {
		return nil, errors.New("watching files: no path given")
	}
	if c.Interval <= 0 {
		c.Interval = 250 * time.Millisecond
	}
	c.Paths = slices.Clone(c.Paths)
	return &Watcher{config: c, changes: make(chan struct{}, 1)}, nil
}

// Changes delivers a value when the files differ from the last Read. Changes
// that come while nobody receives are one value.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Read returns all files as they were at one moment. Errors name the path.
func (w *Watcher) Read() (Files, error) {
	files, seen, err := readSettled(w.config.Paths)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = seen
	return files, err
}

// readSettled reads until the files were the same before and after, which no
// swap in between can be.
func readSettled(paths []string) (Files, look, error) {
	failed, err := look{failed: true}, errUnsettled
	for range attempts {
		files, before, readErr := readOnce(paths)
		switch {
		case errors.Is(readErr, os.ErrNotExist):
			return nil, failed, readErr
		case readErr != nil:
			err = readErr
			time.Sleep(settle)
			continue
		case before.fresh && !mounted(paths):
			time.Sleep(settle)
		}
		if _, after, err := readOnce(paths); err == nil && before.equal(after) {
			return files, after, nil
		}
		err = errUnsettled
	}
	return nil, failed, err
}

// readOnce reads everything behind paths.
func readOnce(paths []string) (Files, look, error) {
	stamps, err := stat(paths)
	if err != nil {
		return nil, look{failed: true}, err
	}
	files, err := read(stamps)
	if err != nil {
		return nil, look{failed: true}, err
	}
	return files, look{stamps: stamps, sum: files.sum(stamps), fresh: anyFresh(stamps)}, nil
}

func anyFresh(stamps []stamp) bool {
	return slices.ContainsFunc(stamps, func(s stamp) bool { return time.Since(s.changed) < moment })
}

func (l look) equal(other look) bool {
	return l.failed == other.failed && l.sum == other.sum && slices.Equal(l.stamps, other.stamps)
}

// parents are the directories that the paths are in.
func parents(paths []string) []string {
	var dirs []string
	for _, path := range paths {
		dirs = append(dirs, filepath.Dir(path))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// mounted reports whether every path is in a directory that Kubernetes swaps as
// a whole.
func mounted(paths []string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool {
		_, err := os.Lstat(filepath.Join(filepath.Dir(path), "..data"))
		return err != nil
	})
}

// Run looks at the files until ctx ends. Files that are swapped as a whole are
// reported at once, and looked at as soon as the system tells of the swap; others
// are reported when two looks in a row, an interval apart, saw the same.
func (w *Watcher) Run(ctx context.Context) {
	ticker := time.NewTicker(w.config.Interval)
	defer ticker.Stop()
	hints := newHints(parents(w.config.Paths))
	defer hints.close()
	var last look
	for {
		select {
		case <-ctx.Done():
			return
		case <-hints.c:
			if !mounted(w.config.Paths) {
				continue
			}
		case <-ticker.C:
		}
		now := w.look()
		settled := now.equal(last) || mounted(w.config.Paths)
		last = now
		if settled {
			w.report(now)
		}
	}
}

// report tells the caller about a change once.
func (w *Watcher) report(now look) {
	w.mu.Lock()
	changed := !now.equal(w.known)
	w.known = now
	w.mu.Unlock()
	if !changed {
		return
	}
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

// look sees what is there. It reads the files only when their stamps cannot
// tell.
func (w *Watcher) look() look {
	stamps, err := stat(w.config.Paths)
	if err != nil {
		return look{failed: true}
	}
	w.mu.Lock()
	known := w.known
	w.mu.Unlock()
	if !known.failed && !known.fresh && slices.Equal(stamps, known.stamps) {
		return known
	}
	_, seen, err := readOnce(w.config.Paths)
	if err != nil {
		return look{failed: true}
	}
	return seen
}
