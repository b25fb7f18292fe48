package demo_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/demo"
	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) {
	if program := os.Getenv(asNobody); program != "" {
		enter(program)
	}
	os.Exit(live.Main(m))
}

// asNobody is the environment variable that names the program which this test
// process is to become, as nobody and without a network.
const asNobody = "GATEPOST_TEST_AS_NOBODY"

// The built command line plays the demo with nothing but itself: no rights, no
// network but loopback, no home, no other programs. Each step comes out as it
// should, in less than a minute, and nothing is left.
func TestTheDemoNeedsNothing(t *testing.T) {
	program, tmp := placed(t), open(t)
	command := alone(t, program)
	command.Env = append(command.Env, "TMPDIR="+tmp, "HOME=/nonexistent", "PATH=")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	began := time.Now()
	err := command.Run()
	took := time.Since(began)
	var report demo.Report
	if wrong := json.Unmarshal(stdout.Bytes(), &report); err != nil || wrong != nil {
		t.Fatalf("%v, %v\n%s\n%s", err, wrong, stdout.String(), stderr.String())
	}
	for _, step := range report.Steps {
		if !step.OK {
			t.Errorf("%s: %s: %s, want %s", step.Act, step.Asked, step.Answered, step.Want)
		}
	}
	if !report.Passed || len(report.Steps) < 14 {
		t.Errorf("passed %v, %d steps", report.Passed, len(report.Steps))
	}
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
	live.Figure("demo_seconds", int(took.Seconds()+0.5), "s")
	live.Figure("demo_steps", len(report.Steps), "steps")
}

// open is a directory of the test in which everybody may write.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// placed is the built program where everybody may run it.
func placed(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(live.Build(t, "gatepost"))
	if err != nil {
		t.Fatal(err)
	}
	dir := open(t)
	path := filepath.Join(dir, "gatepost")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// arguments are those of the program.
func arguments() []string { return []string{"demo", "-o", "json"} }

// plain runs the program as whoever runs the test.
func plain(t *testing.T, program string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), program, arguments()...)
}
