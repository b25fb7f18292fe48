package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// spec is an image to make: exactly one of binary and rootfs is set.
type spec struct {
	name, binary, rootfs string
	copies               []tree
	user, arch           string
	env, args            []string
}

// tree is a directory to copy into the image.
type tree struct{ from, to string }

// write makes the image and writes its tarball to out, complete or not at all.
func write(s spec, out string) error {
	tag, err := name.NewTag(s.name)
	if err != nil {
		return fmt.Errorf("-name %q: %w", s.name, err)
	}
	image, err := build(s)
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	partial := out + ".partial"
	if err := tarball.WriteToFile(partial, tag, image); err != nil {
		return fmt.Errorf("writing the tarball: %w", err)
	}
	if err := os.Rename(partial, out); err != nil {
		return err
	}
	fmt.Println(s.name, digest)
	return nil
}

func build(s spec) (v1.Image, error) {
	layers, err := s.layers()
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, fmt.Errorf("adding layers: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file.OS, file.Architecture = "linux", s.arch
	file.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = s.config()
	return mutate.ConfigFile(image, file)
}

func (s spec) config() v1.Config {
	if s.binary != "" {
		return v1.Config{User: s.user, Env: s.env, Entrypoint: append([]string{s.target()}, s.args...)}
	}
	path := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return v1.Config{User: s.user, Env: append([]string{path}, s.env...), Cmd: s.args}
}

// target is where the binary lies in the image.
func (s spec) target() string { return "/" + filepath.Base(s.binary) }

func (s spec) layers() ([]v1.Layer, error) {
	var layers []v1.Layer
	var files archive
	if s.rootfs != "" {
		base, err := tarball.LayerFromFile(s.rootfs)
		if err != nil {
			return nil, fmt.Errorf("reading -rootfs: %w", err)
		}
		layers = append(layers, base)
	} else if err := files.addFile(s.binary, s.target(), 0o755); err != nil {
		return nil, fmt.Errorf("reading -binary: %w", err)
	}
	for _, c := range s.copies {
		if err := files.addTree(c); err != nil {
			return nil, fmt.Errorf("reading -copy %s: %w", c.from, err)
		}
	}
	if files.empty() {
		return layers, nil
	}
	layer, err := files.layer()
	if err != nil {
		return nil, err
	}
	return append(layers, layer), nil
}
