package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
)

// inspection is what `gatepost token inspect` says for machines.
type inspection struct {
	// Verified is always false.
	Verified  bool                `json:"verified"`
	Header    map[string]any      `json:"header,omitempty"`
	Claims    map[string]any      `json:"claims,omitempty"`
	Times     []unverified.Moment `json:"times,omitempty"`
	Signature int                 `json:"signatureBytes"`
	Flaw      string              `json:"flaw,omitempty"`
}

func inspectCommand(now func() time.Time) *cobra.Command {
	var format output.Format
	command := &cobra.Command{
		Use:   "inspect [TOKEN | -]",
		Short: "Show what a token says, without believing it",
		Long: `Show the header and the claims of a token, read from the argument or from stdin; first
of all its algorithm and key, and whether it has expired.

Nothing is verified: anybody can write a token that says the same. Use gatepost
token verify to hold it against keys, and gatepost explain to see what a policy
makes of it. The token is not sent anywhere.`,
		Example: `  gatepost token inspect - < token
  curl -s https://auth.example.com/api/get-token | jq -r .token | gatepost token inspect`,
		Args: arguments(0, 1),
		RunE: func(command *cobra.Command, args []string) error {
			text, err := credentialOf(command, args)
			if err != nil {
				return err
			}
			if unverified.IsKey(text) {
				return fmt.Errorf("this is an API key and says nothing: gatepost explain - --policy FILE tells whose it is")
			}
			read := unverified.Read(text)
			if read.Header == nil && read.Claims == nil {
				return fmt.Errorf("this is no token that can be shown: %s", read.Flaw)
			}
			return showInspection(output.To(command, format), read, now())
		},
	}
	format.Flag(command)
	return command
}

func showInspection(to output.Printer, read unverified.Token, now time.Time) error {
	moments := read.Moments(now)
	if to.Format != output.Text {
		return to.Value(inspection{Header: read.Header, Claims: read.Claims, Times: moments, Signature: read.SignatureBytes, Flaw: read.Flaw})
	}
	var text strings.Builder
	text.WriteString(output.Paint("NOT VERIFIED: anybody can write a token that says this", output.Bad, to.Terminal) + "\n")
	text.WriteString(output.Clean(gist(&read, now)) + "\n")
	if read.Flaw != "" {
		text.WriteString(output.Paint("Gatepost would refuse it as malformed_token: "+read.Flaw+".", output.Bad, to.Terminal) + "\n")
	}
	for _, part := range []struct {
		name   string
		object map[string]any
	}{{"Header", read.Header}, {"Claims", read.Claims}} {
		text.WriteString("\n" + part.name + "\n" + indented(part.object) + "\n")
	}
	if table := explain.Times(moments).Render(to.Terminal); table != "" {
		text.WriteString("\n" + table)
	}
	if read.SignatureBytes >= 0 {
		fmt.Fprintf(&text, "\nThe signature has %d bytes and was not looked at.\n", read.SignatureBytes)
	}
	_, err := io.WriteString(to.Out, text.String())
	return err
}

// gist is what most people look for, in one line: by which key it claims to be
// signed, and whether it has expired.
func gist(read *unverified.Token, now time.Time) string {
	key := "no kid"
	if _, ok := read.Header["kid"]; ok {
		key = "kid " + unverified.Text(read.Header, "kid")
	}
	life := "never expires: no exp"
	_, named := read.Claims["exp"]
	switch at, ok := read.Date("exp"); {
	case read.Claims == nil:
		life = "claims that cannot be read"
	case ok && at.After(now):
		life = "expires " + unverified.FromNow(at, now)
	case ok:
		life = "expired " + unverified.FromNow(at, now)
	case named:
		life = "exp is no date"
	}
	return "alg " + unverified.Text(read.Header, "alg") + ", " + key + ", " + life
}

// indented is a JSON object for people, cleaned line by line.
func indented(object map[string]any) string {
	if object == nil {
		return "  (it cannot be read)"
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("  ", "  ")
	if err := encoder.Encode(object); err != nil {
		return "  (it cannot be shown)"
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = output.Clean(line)
	}
	return "  " + strings.Join(lines, "\n")
}
