package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// archive collects files for one layer in memory. Owner, time and order are
// fixed, and of the mode only the executable bit counts: nothing of the machine
// that builds gets into the image.
type archive struct {
	names   []string // in the order of the archive
	content map[string][]byte
	mode    map[string]int64
}

func (a *archive) empty() bool { return len(a.names) == 0 }

// addFile puts the file at the absolute path target of the image.
func (a *archive) addFile(file, target string, mode int64) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	target = strings.TrimPrefix(path.Clean(target), "/")
	if _, ok := a.content[target]; ok {
		return fmt.Errorf("two files for /%s", target)
	}
	if a.content == nil {
		a.content, a.mode = map[string][]byte{}, map[string]int64{}
	}
	a.names = append(a.names, target)
	a.content[target], a.mode[target] = content, mode
	return nil
}

// addTree adds the regular files below a directory, but for Python's caches,
// which differ from run to run.
func (a *archive) addTree(t tree) error {
	return filepath.WalkDir(t.from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "__pycache__" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", file)
		}
		below, err := filepath.Rel(t.from, file)
		if err != nil {
			return err
		}
		return a.addFile(file, path.Join(t.to, filepath.ToSlash(below)), normalMode(info.Mode()))
	})
}

func normalMode(mode fs.FileMode) int64 {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

func (a *archive) layer() (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range a.names {
		header := &tar.Header{Name: name, Mode: a.mode[name], Size: int64(len(a.content[name])), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(a.content[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil
	})
}
