// Package program is what the mains of sidecar and issuer have in common: how they
// start and end, and values of their flags, with errors that say what to write
// instead.
package program

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// Address sets a flag that is an address to listen on, host:port; empty: none.
func Address(target *string) func(string) error {
	return func(text string) error {
		_, port, err := net.SplitHostPort(text)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil && text != "" {
			return fmt.Errorf("%q is not an address: write host:port, for example 127.0.0.1:8080 or :8080", text)
		}
		*target = text
		return nil
	}
}

// Timeout reads a flag that is a time to wait, zero or longer.
func Timeout(text string) (time.Duration, error) {
	timeout, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("must be a duration such as 30s")
	case timeout < 0:
		return 0, errors.New("is negative: give a duration such as 30s")
	}
	return timeout, nil
}

// Named is a flag that names a file or, if Dir, a directory; an empty path names
// none.
type Named struct {
	Flag, Path string
	Dir        bool
}

// Present names the first flag whose file or directory is not there, or is the
// other of the two.
func Present(all ...Named) error {
	for _, named := range all {
		if named.Path == "" {
			continue
		}
		switch info, err := os.Stat(named.Path); {
		case err != nil:
			return fmt.Errorf("--%s: %w", named.Flag, err)
		case named.Dir && !info.IsDir():
			return fmt.Errorf("--%s: %s is not a directory", named.Flag, named.Path)
		case !named.Dir && !info.Mode().IsRegular():
			return fmt.Errorf("--%s: %s is not a file", named.Flag, named.Path)
		}
	}
	return nil
}
