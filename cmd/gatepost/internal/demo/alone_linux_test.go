package demo_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is the user and the group that have no rights.
const nobody = 65534

// alone runs the program as nobody in a network namespace of its own, which has
// loopback and nothing else. Only root can make one; anybody else has no rights
// to lose, and keeps the network.
func alone(t *testing.T, program string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("not root: the program keeps the network")
		return plain(t, program)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self)
	command.Env = []string{asNobody + "=" + program}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return command
}

// enter becomes the program: in the fresh namespace, with loopback up, as nobody.
func enter(program string) {
	err := loopbackUp()
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody))
	}
	if links, wrong := net.Interfaces(); err == nil && (wrong != nil || len(links) != 1) {
		err = fmt.Errorf("the network is not closed: %v %w", links, wrong)
	}
	if err == nil {
		err = syscall.Exec(program, append([]string{program}, arguments()...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "becoming nobody without a network:", err)
	os.Exit(99)
}

// loopbackUp switches the loopback device on.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	device, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, device)
}
