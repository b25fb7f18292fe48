// Package output is how the commands of gatepost speak: a table for people, JSON
// or YAML for machines, and progress that is redrawn where there is a terminal
// and is plain lines where there is none.
//
// A command adds the flag -o with Format.Flag, makes one value of what it found
// (with json tags, the form that machines read) and one Table of it, and hands
// both to Printer.Print. Colours are tones of cells; they are seen on a terminal
// alone, never with NO_COLOR (no-color.org) or TERM=dumb. What came out of a
// cluster or a token may hold anything: control characters are written as
// escapes, so that no text moves the cursor or colours what is ours.
//
// Results go to stdout, progress and questions to stderr, so that a pipe gets
// the result alone.
package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Format is the value of the flag -o. The zero value is Text.
type Format string

// The formats.
const (
	// Text is tables and sentences for people.
	Text Format = ""
	// JSON is indented by two spaces and ends with a newline.
	JSON Format = "json"
	// YAML has the fields of the JSON.
	YAML Format = "yaml"
)

// Flag adds -o, --output to a command, with its completion.
func (f *Format) Flag(command *cobra.Command) {
	command.Flags().VarP(f, "output", "o", "json or yaml, for machines; default: for people")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]cobra.Completion{string(JSON), string(YAML)}, cobra.ShellCompDirectiveNoFileComp)) // it fails for a flag that is not there
}

// String is the flag's value.
func (f *Format) String() string { return string(*f) }

// Type is what usage calls the value.
func (f *Format) Type() string { return "format" }

// Set takes json or yaml.
func (f *Format) Set(text string) error {
	if asked := Format(text); asked == JSON || asked == YAML {
		*f = asked
		return nil
	}
	return errors.New("write json or yaml, or leave -o out for people")
}

// Printer prints the result of one command.
type Printer struct {
	Out    io.Writer
	Format Format
	// Terminal is what Out can show.
	Terminal Terminal
}

// To is a Printer for a command's stdout.
func To(command *cobra.Command, format Format) Printer {
	out := command.OutOrStdout()
	return Printer{Out: out, Format: format, Terminal: Detect(out)}
}

// Print writes the tables for people, with an empty line between them, or the
// value for machines.
func (p Printer) Print(value any, tables ...Table) error {
	if p.Format != Text {
		return p.Value(value)
	}
	var texts []string
	for _, table := range tables {
		if text := table.Render(p.Terminal); text != "" {
			texts = append(texts, text)
		}
	}
	_, err := io.WriteString(p.Out, strings.Join(texts, "\n"))
	return err
}

// Value writes the value for machines; as YAML where the format is for people.
func (p Printer) Value(value any) error {
	text, err := encode(value, p.Format)
	if err != nil {
		return fmt.Errorf("writing the result as %s: %w", p.Format, err)
	}
	_, err = p.Out.Write(text)
	return err
}

func encode(value any, format Format) ([]byte, error) {
	if format != JSON {
		return yaml.Marshal(value)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return []byte(text.String()), err
}

// JSONOf is a document of YAML as JSON, indented.
func JSONOf(text []byte) ([]byte, error) {
	compact, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
