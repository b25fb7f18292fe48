//go:build !unix

package wire

import "errors"

// Windows, where the command line plays its demo, has other sockets: what is
// thrown away is read into the caller's space, and a connection that waits for a
// request ends instead of being parked.

func readPiece(uintptr) (int, error) { return 0, errors.ErrUnsupported }

func peek(uintptr) error { return errors.ErrUnsupported }
