package live

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// debianPython is Debian's own: another python3 of the PATH has other modules.
const debianPython = "/usr/bin/python3"

// Python returns a command that runs Debian's Python in dir, which has these
// modules.
func Python(t testing.TB, dir string, modules []string, args ...string) *exec.Cmd {
	t.Helper()
	for _, module := range modules {
		probe := exec.CommandContext(t.Context(), debianPython, "-c", "import "+module)
		if out, err := probe.CombinedOutput(); err != nil {
			Missing(t, "this test needs Python's module %s from Debian: %v %s", module, err, out)
		}
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), debianPython, args...)
	command.Dir = dir
	return command
}

// Uvicorn serves the ASGI application app ("main:app") of dir and returns its
// address.
func Uvicorn(t testing.TB, dir, app string, env ...string) (address string, p *Program) {
	t.Helper()
	address = FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	command := Python(t, dir, []string{"fastapi", "uvicorn"}, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", port, "--log-level", "warning")
	command.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	p = Run(t, command)
	p.AwaitListening(t, address)
	return address, p
}

// Node returns a command that runs Node.js in dir, after the packages of its
// package-lock.json were installed there.
func Node(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	node, npm := Need(t, "this test", "node"), Need(t, "this test", "npm")
	install(t, npm, dir)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), node, args...)
	command.Dir = dir
	return command
}

// install runs npm once per lock file, one process at a time.
func install(t testing.TB, npm, dir string) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(dir, "package-lock.json"), os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	wanted, err := lock.Stat()
	if err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(dir, "node_modules", ".package-lock.json")
	if have, err := os.Stat(done); err == nil && !have.ModTime().Before(wanted.ModTime()) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("npm ci in %s: %v\n%s", dir, err, out)
	}
	now := time.Now()
	if err := os.Chtimes(done, now, now); err != nil {
		t.Fatal(err)
	}
}
