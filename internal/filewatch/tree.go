package filewatch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Bounds of what is read.
const (
	maxFileBytes = 1 << 20 // bytes of one file, as much as a Secret can hold
	maxFiles     = 2048    // files of all paths together
	maxBytes     = 32 << 20
)

// errKind is why a pipe, a socket or a device is not read: it would never end, or
// wait for somebody who writes.
var errKind = errors.New("it is neither a file nor a directory")

// Files are the contents of one reading by path: a watched file under the path
// it was watched by, a file of a watched directory D as D/name or D/dir/name.
type Files map[string][]byte

// Within are the files of a watched directory by their names in it, with slashes:
// name or dir/name.
func (f Files) Within(dir string) map[string][]byte {
	byName := make(map[string][]byte, len(f))
	prefix := strings.TrimSuffix(filepath.Clean(dir), string(filepath.Separator)) + string(filepath.Separator)
	for path, content := range f {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			byName[filepath.ToSlash(name)] = content
		}
	}
	return byName
}

// stamp is what is known of a file without reading it.
type stamp struct {
	path    string
	size    int64
	mode    fs.FileMode
	changed time.Time
	inode   uint64
}

// stat lists the files behind paths with their stamps, in a fixed order.
func stat(paths []string) ([]stamp, error) {
	var stamps []stamp
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking at %s: %w", path, reason(err))
		case info.IsDir():
			stamps, err = statDir(stamps, path, true)
		default:
			stamps, err = statFile(stamps, path, info)
		}
		if err != nil {
			return nil, err
		}
	}
	return stamps, nil
}

// statDir adds the files of one directory, and of the directories in it when
// deep. What Kubernetes keeps in names that begin with ".." is seen through the
// links that point there.
func statDir(stamps []stamp, dir string, deep bool) ([]stamp, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, reason(err))
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a dangling link, or gone since the listing
			continue
		case err != nil:
			return nil, fmt.Errorf("looking at %s: %w", path, reason(err))
		case info.IsDir() && !deep:
			continue
		case info.IsDir():
			stamps, err = statDir(stamps, path, false)
		default:
			stamps, err = statFile(stamps, path, info)
		}
		if err != nil {
			return nil, err
		}
		if len(stamps) > maxFiles {
			return nil, fmt.Errorf("listing %s: more than %d files: point at a directory that holds keys only", dir, maxFiles)
		}
	}
	return stamps, nil
}

// statFile adds one file.
func statFile(stamps []stamp, path string, info fs.FileInfo) ([]stamp, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("looking at %s: %w", path, errKind)
	}
	return append(stamps, newStamp(path, info)), nil
}

// read returns the contents of the files that stamps name.
func read(stamps []stamp) (Files, error) {
	files := make(Files, len(stamps))
	left := maxBytes
	for _, s := range stamps {
		content, err := readFile(s.path)
		if err != nil {
			return nil, err
		}
		if left -= len(content); left < 0 {
			return nil, fmt.Errorf("reading %s: more than %d bytes with all before it: point at a directory that holds keys only", s.path, maxBytes)
		}
		files[s.path] = content
	}
	return files, nil
}

// readFile reads a file that was one a moment ago.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0) //nolint:gosec // the paths are the operator's own
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w", path, errors.Join(err, errKind))
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	case len(content) > maxFileBytes:
		return nil, fmt.Errorf("reading %s: larger than %d bytes: it cannot be a policy or a key", path, maxFileBytes)
	}
	return content, nil
}

// reason takes the path out of an error of package os, which the caller names.
func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// sum is a fingerprint of the files' names and contents.
func (f Files) sum(order []stamp) [sha256.Size]byte {
	hash := sha256.New()
	for _, s := range order {
		fmt.Fprintf(hash, "%d %s %d ", len(s.path), s.path, len(f[s.path]))
		hash.Write(f[s.path])
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
