package stage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gatepost.dev/gatepost/test/cluster"
)

// Images are the names of the container images on the stage.
type Images struct {
	Sidecar, Controller, Issuer string
	Agent                       string // the FastAPI example
	Caller                      string // makes requests from inside the cluster
}

// LocalImages are the names under which BuildImages makes images.
func LocalImages() Images {
	return Images{
		Sidecar:    "localhost/gatepost-sidecar:dev",
		Controller: "localhost/gatepost-controller:dev",
		Issuer:     "localhost/gatepost-issuer:dev",
		Agent:      "localhost/gatepost-fastapi:dev",
		Caller:     "localhost/gatepost-caller:dev",
	}
}

// ImagesFromEnvironment are the local names, or those that GATEPOST_SIDECAR_IMAGE,
// GATEPOST_CONTROLLER_IMAGE, GATEPOST_ISSUER_IMAGE, GATEPOST_AGENT_IMAGE and
// GATEPOST_CALLER_IMAGE give: images that were pushed for an existing cluster.
func ImagesFromEnvironment() Images {
	local := LocalImages()
	return Images{
		Sidecar:    cmp.Or(os.Getenv("GATEPOST_SIDECAR_IMAGE"), local.Sidecar),
		Controller: cmp.Or(os.Getenv("GATEPOST_CONTROLLER_IMAGE"), local.Controller),
		Issuer:     cmp.Or(os.Getenv("GATEPOST_ISSUER_IMAGE"), local.Issuer),
		Agent:      cmp.Or(os.Getenv("GATEPOST_AGENT_IMAGE"), local.Agent),
		Caller:     cmp.Or(os.Getenv("GATEPOST_CALLER_IMAGE"), local.Caller),
	}
}

// BuildImages builds the images of a checkout without a container engine and
// returns their tarballs, of which it puts the new ones into dir. Say is told
// what takes time.
func BuildImages(ctx context.Context, c *cluster.Cluster, checkout, dir string, say func(string)) ([]string, error) {
	names := LocalImages()
	say("making the agent's image: a Debian with python3-fastapi and uvicorn; the first time takes half a minute")
	agent, err := exec.CommandContext(ctx, filepath.Join(checkout, "test", "cluster", "fastapi-rootfs"),
		filepath.Join(checkout, "examples", "fastapi", "main.py"), names.Agent).Output()
	if err != nil {
		return nil, fmt.Errorf("making the agent's image: %w", withStderr(err))
	}
	tarballs := []string{strings.TrimSpace(string(agent))}

	say("building the sidecar, the controller, the issuer and the caller")
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	for _, packages := range [][]string{{"-tags", "nethttpomithttp2", "./cmd/sidecar"}, {"./cmd/controller", "./cmd/issuer", "./test/e2e/remote/caller"}} {
		build := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", bin}, packages...)...)
		build.Dir, build.Env = checkout, append(os.Environ(), "CGO_ENABLED=0")
		if err := run(build); err != nil {
			return nil, fmt.Errorf("building: %w", err)
		}
	}
	for program, name := range map[string]string{
		"sidecar": names.Sidecar, "controller": names.Controller, "issuer": names.Issuer, "caller": names.Caller,
	} {
		tarball := filepath.Join(dir, program+".tar")
		if err := run(c.OnNode(ctx, "image", "-name", name, "-o", tarball, "-binary", bin+program)); err != nil {
			return nil, fmt.Errorf("making image %s: %w", name, err)
		}
		tarballs = append(tarballs, tarball)
	}
	return tarballs, nil
}

// run runs a command; the error of a failure holds what it said.
func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(out))
	}
	return nil
}

// withStderr adds to the error of Cmd.Output what the command said.
func withStderr(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
