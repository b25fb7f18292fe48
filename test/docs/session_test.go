package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// separator stands before each block's output.
const separator = "\x1e"

// session runs the blocks of one page as one shell and returns what each of them
// printed, by the block's index.
func session(t *testing.T, p page, env ...string) map[int]string {
	t.Helper()
	dir := checkout(t)
	staysOut(t, p, dir)
	path := tools(t, p, dir)
	script := script(t, p, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	shell.Dir = dir
	shell.Env = append(append(os.Environ(), "PATH="+path, "CGO_ENABLED=0", "PYTHONDONTWRITEBYTECODE=1"), env...)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	shell.WaitDelay = 10 * time.Second
	// Files, not pipes: programs in the background may hold them after the shell.
	store := t.TempDir()
	out, logs := create(t, store, "out"), create(t, store, "logs")
	shell.Stdout, shell.Stderr = out, logs
	err := shell.Run()
	// What the page has left running is in the shell's own process group.
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
	printed, last := split(content(t, out))
	if err != nil {
		t.Fatalf("the commands at line %d: %v\n%s\n%s", p.blocks[last].line, err, printed[last], content(t, logs))
	}
	return printed
}

func create(t *testing.T, dir, name string) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func content(t *testing.T, file *os.File) string {
	t.Helper()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// script writes files and runs commands in the order of the page.
func script(t *testing.T, p page, store string) string {
	t.Helper()
	var s strings.Builder
	s.WriteString("trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT\n")
	for i, b := range p.blocks {
		switch {
		case b.mark == markRun:
			fmt.Fprintf(&s, "printf '%s%d\\n'\n%s\n", separator, i, b.text)
		case b.writes():
			kept := filepath.Join(store, strconv.Itoa(i))
			if err := os.WriteFile(kept, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&s, "mkdir -p \"$(dirname '%s')\"; cp '%s' '%s'\n", b.name, kept, b.name)
		}
	}
	return s.String()
}

// split parts the shell's output by its separators; last is the block that was
// begun last.
func split(out string) (printed map[int]string, last int) {
	printed = make(map[int]string)
	for part := range strings.SplitSeq(out, separator) {
		number, text, _ := strings.Cut(part, "\n")
		if i, err := strconv.Atoi(number); err == nil {
			printed[i], last = text, i
		}
	}
	return printed, last
}

var (
	loopbackPort = regexp.MustCompile(`(?:127\.0\.0\.1|localhost):([1-9][0-9]{3,4})\b`)
	number       = regexp.MustCompile(`\b[1-9][0-9]{3,4}\b`)
)

// withFreePorts returns the page with other ports of loopback, the same one
// wherever the page has the same.
func withFreePorts(t *testing.T, p page) page {
	t.Helper()
	ports := make(map[string]string)
	for _, b := range p.blocks {
		for _, match := range loopbackPort.FindAllStringSubmatch(b.text, -1) {
			if ports[match[1]] == "" {
				_, ports[match[1]], _ = strings.Cut(live.FreeAddress(t), ":")
			}
		}
	}
	p.blocks = slices.Clone(p.blocks)
	for i := range p.blocks {
		p.blocks[i].text = exchange(p.blocks[i].text, ports)
	}
	return p
}

// exchange writes other ports for the ones that are in ports.
func exchange(text string, ports map[string]string) string {
	return number.ReplaceAllStringFunc(text, func(found string) string {
		if other := ports[found]; other != "" {
			return other
		}
		return found
	})
}

// checkout is a folder that looks like this checkout through links, so that what
// a page writes beside them stays out of it.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, entry := range entries {
		if entry.Name() == "bin" || entry.Name() == "keys" || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		link(t, filepath.Join(root, entry.Name()), filepath.Join(dir, entry.Name()))
	}
	return dir
}

// staysOut fails for files that a page would write through a link into the
// checkout itself.
func staysOut(t *testing.T, p page, dir string) {
	t.Helper()
	for _, b := range p.blocks {
		folder, _, nested := strings.Cut(b.name, "/")
		if !b.writes() || !nested {
			continue
		}
		if info, err := os.Lstat(filepath.Join(dir, folder)); err == nil && !info.IsDir() {
			t.Fatalf("line %d: %s is a folder of this checkout: choose another name for %s", b.line, folder, b.name)
		}
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// tools makes what a page needs and returns its PATH.
func tools(t *testing.T, p page, dir string) string {
	t.Helper()
	own := t.TempDir()
	for _, need := range p.needs {
		kind, what, _ := strings.Cut(need, ":")
		switch kind {
		case "program":
			live.Need(t, "this page", what)
		case "python":
			link(t, live.Python(t, dir, strings.Split(what, ",")).Path, filepath.Join(own, "python3"))
		case "node":
			folder, err := filepath.Abs(filepath.Join("../..", what))
			if err != nil {
				t.Fatal(err)
			}
			live.Node(t, folder)
			link(t, filepath.Join(folder, "node_modules"), filepath.Join(dir, "node_modules"))
		default:
			t.Fatalf("the page needs %q: write program:NAME, python:MODULE,MODULE or node:FOLDER", need)
		}
	}
	live.Build(t, "gatepost")
	live.Build(t, "issuer")
	built := filepath.Dir(live.Build(t, "sidecar"))
	return strings.Join([]string{built, own, os.Getenv("PATH")}, ":")
}
