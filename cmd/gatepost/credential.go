package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
)

// maxCredential is the longest text that is read from stdin: a request cannot
// carry more than 1 MiB.
const maxCredential = 1 << 20

// errKeyInArgs refuses an API key where everybody can read it.
var errKeyInArgs = errors.New("an API key was given as an argument, where other programs of this machine and the shell's history have it: " +
	"give it on stdin (-), and make a new one if the machine is not yours alone")

// credentialOf is the credential that a command is about: its argument, or stdin
// where that is - or absent. A token in an argument is warned of.
func credentialOf(command *cobra.Command, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		if unverified.IsKey(args[0]) {
			return "", errKeyInArgs
		}
		if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
			return "", fmt.Errorf("%s is a file: give what is in it on stdin: - < %s", args[0], args[0])
		}
		fmt.Fprintln(command.ErrOrStderr(), "gatepost: warning: other programs of this machine can read an argument, and the shell's history keeps it: give a token that still counts on stdin (-)")
		return unverified.Clean(args[0]), nil
	}
	content, err := io.ReadAll(io.LimitReader(command.InOrStdin(), maxCredential+1))
	text := unverified.Clean(string(content))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading stdin: %w", err)
	case len(content) > maxCredential:
		return "", errors.New("stdin has more than 1 MiB: that is no token")
	case text == "":
		return "", errors.New("stdin is empty: give a token on it, or as the argument")
	}
	return text, nil
}
