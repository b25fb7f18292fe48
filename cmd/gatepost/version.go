package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/internal/telemetry"
)

// version is set at link time; empty in a plain go build, which knows its commit.
var version string

// build is which program this is, for machines.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	return build{Version: telemetry.Version(version), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// line is what a person pastes into a report.
func (b build) line() string { return fmt.Sprintf("gatepost %s %s %s\n", b.Version, b.Go, b.Platform) }

func versionCommand() *cobra.Command {
	var format output.Format
	command := &cobra.Command{
		Use:   "version",
		Short: "Show which build this is",
		Long:  `Show the version, the Go version it was built with and the platform it was built for.`,
		Args:  arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			to := output.To(command, format)
			if to.Format != output.Text {
				return to.Value(thisBuild())
			}
			_, err := io.WriteString(to.Out, thisBuild().line())
			return err
		},
	}
	format.Flag(command)
	return command
}
