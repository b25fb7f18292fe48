package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// terminalCommand: [!] terminal COLUMNS INPUT PROGRAM ARGS..., runs a program at
// a terminal of so many columns at which the content of the file INPUT is typed,
// - for nothing. What is seen on the terminal is the script's stdout.
func terminalCommand(ts *testscript.TestScript, neg bool, args []string) {
	columns, err := strconv.Atoi(args[0])
	ts.Check(err)
	near, far, err := openTerminal(uint16(columns))
	ts.Check(err)
	program, err := exec.LookPath(args[2])
	ts.Check(err)
	command := exec.Command(program, args[3:]...)
	command.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "KUBECONFIG", "TERM", "NO_COLOR", "NS", "COLUMNS"} {
		if value := ts.Getenv(name); value != "" {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.Stdin, command.Stdout, command.Stderr = far, far, far
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(command.Start())
	ts.Check(far.Close())
	if args[1] != "-" {
		_, err = io.WriteString(near, ts.ReadFile(args[1]))
		ts.Check(err)
	}
	var seen bytes.Buffer
	_, _ = io.Copy(&seen, near) // a terminal that is hung up is an error
	err = command.Wait()
	_, _ = ts.Stdout().Write(bytes.ReplaceAll(seen.Bytes(), []byte("\r\n"), []byte("\n")))
	ts.Check(near.Close())
	if (err != nil) != neg {
		ts.Fatalf("%s: %v\n%s", strings.Join(args[2:], " "), err, seen.String())
	}
}

// narrowCommand: narrow COLUMNS FILE, no line of what was seen is wider.
func narrowCommand(ts *testscript.TestScript, _ bool, args []string) {
	columns, err := strconv.Atoi(args[0])
	ts.Check(err)
	colours := regexp.MustCompile("\x1b\\[[0-9]*m")
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		text := colours.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")
		if utf8.RuneCountInString(text) > columns {
			ts.Fatalf("wider than %d: %s", columns, text)
		}
	}
}

// openTerminal opens a pseudo-terminal: what is typed and seen, and the
// program's end of it.
func openTerminal(columns uint16) (near, far *os.File, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(near.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		return nil, nil, err
	}
	far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return near, far, err
}
