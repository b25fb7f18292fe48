package output

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// Progress shows how something goes on. On a terminal a block of lines is drawn
// over its former self, under the news; elsewhere only the news are written, one
// a line, so that a log holds what happened and nothing else.
type Progress struct {
	out      io.Writer
	terminal Terminal
	drawn    int
}

// NewProgress shows progress on out, as terminal allows.
func NewProgress(out io.Writer, terminal Terminal) *Progress {
	return &Progress{out: out, terminal: terminal}
}

// ProgressOf shows progress on a command's stderr.
func ProgressOf(command *cobra.Command) *Progress {
	out := command.ErrOrStderr()
	return NewProgress(out, Detect(out))
}

// Line is one line of progress.
type Line = Cell

// Update writes the news and draws the block. The news stay; the block lives
// until the next Update.
func (p *Progress) Update(news, block []Line) {
	var text strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA\x1b[J", p.drawn) // up, and clear what is below
		p.drawn = 0
	}
	for _, line := range news {
		text.WriteString(Paint(line.Text, line.Tone, p.terminal) + "\n")
	}
	if p.terminal.Interactive {
		block = p.cut(block)
		for _, line := range block {
			text.WriteString(Paint(p.short(line.Text), line.Tone, p.terminal) + "\n")
		}
		p.drawn = len(block)
	}
	_, _ = io.WriteString(p.out, text.String()) // nobody is there to be told
}

// cut keeps a block that fits on the screen: what has scrolled away cannot be
// redrawn.
func (p *Progress) cut(block []Line) []Line {
	most := p.terminal.Lines - 1
	if most <= 0 || len(block) <= most {
		return block
	}
	more := fmt.Sprintf("... and %d lines more", len(block)-most+1)
	return append(append([]Line{}, block[:most-1]...), Line{Text: more, Tone: Faint})
}

// short cuts a line at the width of the terminal: a line that wraps is two.
func (p *Progress) short(text string) string {
	text = Clean(text)
	if p.terminal.Columns <= 3 || utf8.RuneCountInString(text) <= p.terminal.Columns {
		return text
	}
	return string([]rune(text)[:p.terminal.Columns-3]) + "..."
}
