package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// holdUntilExit takes a share of the lock on a file and keeps it as long as this
// process lives: its descriptor is closed by the kernel, at the latest.
func holdUntilExit(file string) error {
	fd, err := unix.Open(file, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	return unix.Flock(fd, unix.LOCK_SH)
}

// whenReleased runs the command, apart from us, once no process holds the file.
func whenReleased(ctx context.Context, file, command string) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "flock", "--exclusive", "--no-fork", file, command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

func dialFrom(ctx context.Context, netns, network, address string) (net.Conn, error) {
	return inside(netns, address, func() (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	})
}

func listenOn(ctx context.Context, netns, network, address string) (net.Listener, error) {
	return inside(netns, address, func() (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, network, address)
	})
}

// inside opens a socket in a network namespace. A socket stays where it was
// opened, so only the thread that opens it has to go there, and that thread never
// comes back: it ends with its goroutine, which does not unlock it.
//
// A host name would be looked up on other threads, outside; hence the check.
func inside[T any](netns, address string, open func() (T, error)) (T, error) {
	var zero T
	if netns == "" {
		return open()
	}
	if _, err := netip.ParseAddrPort(address); err != nil {
		return zero, fmt.Errorf("address on the node: %w", err)
	}
	type result struct {
		socket T
		err    error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(netns); err != nil {
			done <- result{zero, fmt.Errorf("entering %s: %w", netns, err)}
			return
		}
		socket, err := open()
		done <- result{socket, err}
	}()
	r := <-done
	return r.socket, r.err
}

func enter(netns string) error {
	fd, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNET)
}
