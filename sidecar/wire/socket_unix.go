//go:build unix

package wire

import (
	"errors"
	"io"
	"syscall"
)

// readPiece reads what is there, at most one piece.
func readPiece(fd uintptr) (int, error) {
	space, _ := pieces.Get().(*[discardPiece]byte)
	defer pieces.Put(space)
	for {
		n, err := syscall.Read(int(fd), space[:])
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}

// peek reports whether there is something to read: nil for bytes.
func peek(fd uintptr) error {
	var one [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err == nil && n == 0:
			return io.EOF
		default:
			return err
		}
	}
}
