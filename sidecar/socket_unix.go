//go:build unix

package sidecar

import (
	"errors"
	"syscall"
)

// readSocket reads what is there, without waiting.
func readSocket(fd uintptr, into []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), into)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// peekSocket reports whether the socket holds bytes.
func peekSocket(fd uintptr) bool {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n > 0
}
