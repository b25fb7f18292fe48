package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		line, want string
	}{
		"an image without a name":          {"-o out.tar -binary b", "-name and -o"},
		"an image without a file to write": {"-name n -binary b", "-name and -o"},
		"neither binary nor rootfs":        {"-name n -o out.tar", "one of -binary and -rootfs"},
		"both binary and rootfs":           {"-name n -o out.tar -binary b -rootfs r", "one of -binary and -rootfs"},
		"a rootfs without a command":       {"-name n -o out.tar -rootfs r", "command after --"},
		"a copy without a target":          {"-name n -o out.tar -binary b -copy dir", "DIR:/TARGET"},
		"a copy to a relative target":      {"-name n -o out.tar -binary b -copy dir:app", "DIR:/TARGET"},
		"a flag that nobody knows":         {"-name n -o out.tar -binary b -x", "-x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(strings.Fields(test.line))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestSameInputSameBytes(t *testing.T) {
	made := func(at time.Time, mode os.FileMode) []byte {
		dir := t.TempDir()
		binary, app := filepath.Join(dir, "agent"), filepath.Join(dir, "app")
		for file, content := range map[string]string{
			binary: "a program", filepath.Join(app, "main.py"): "import os", filepath.Join(app, "__pycache__", "main.pyc"): at.String(),
		} {
			writeFile(t, file, content, mode)
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(dir, "image.tar")
		s := spec{name: "localhost/agent:dev", binary: binary, copies: []tree{{from: app, to: "/app"}}, user: "65532:65532", arch: "amd64"}
		if err := write(s, out); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first, second := made(time.Unix(1, 0), 0o600), made(time.Unix(2e9, 0), 0o644)
	if !bytes.Equal(first, second) {
		t.Error("time or mode of the files got into the image")
	}
}

func TestImageOfABinary(t *testing.T) {
	dir := t.TempDir()
	binary, out := filepath.Join(dir, "agent"), filepath.Join(dir, "image.tar")
	writeFile(t, binary, "a program", 0o700)
	s := spec{name: "localhost/agent:dev", binary: binary, user: "65532:65532", arch: "arm64", args: []string{"serve"}}
	if err := write(s, out); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Config.Entrypoint; !slices.Equal(got, []string{"/agent", "serve"}) {
		t.Errorf("entrypoint %q", got)
	}
	if file.OS != "linux" || file.Architecture != "arm64" || file.Config.User != "65532:65532" {
		t.Errorf("runs on %s/%s as %s", file.OS, file.Architecture, file.Config.User)
	}
	if got := entries(t, image); !slices.Equal(got, []string{"agent -rwxr-xr-x"}) {
		t.Errorf("files %q", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "agent")
	writeFile(t, binary, "a program", 0o700)
	links := filepath.Join(dir, "links")
	writeFile(t, filepath.Join(links, "file"), "", 0o600)
	if err := os.Symlink("/etc/passwd", filepath.Join(links, "link")); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]spec{
		"a binary that is not there": {binary: filepath.Join(dir, "none")},
		"a rootfs that is not there": {rootfs: filepath.Join(dir, "none")},
		"a copy that is not there":   {binary: binary, copies: []tree{{from: filepath.Join(dir, "none"), to: "/app"}}},
		"a symbolic link":            {binary: binary, copies: []tree{{from: links, to: "/app"}}},
		"two files in one place":     {binary: binary, copies: []tree{{from: binary, to: "/agent"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := build(s); err == nil {
				t.Error("built it")
			}
		})
	}
}

func writeFile(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// entries returns name and mode of the files in an image, in order.
func entries(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		for r := tar.NewReader(content); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, header.Name+" "+header.FileInfo().Mode().String())
		}
	}
	return found
}
