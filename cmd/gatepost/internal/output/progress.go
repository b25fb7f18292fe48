package output

import (
	"fmt"
	"io"
	"regexp"
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
func (p *Progress) Update(news []Line, block Table) {
	var text strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA\x1b[J", p.drawn) // up, and clear what is below
		p.drawn = 0
	}
	for _, line := range news {
		text.WriteString(Sentence(line, "", p.terminal))
	}
	if p.terminal.Interactive {
		drawn := p.cut(block.Render(p.terminal))
		text.WriteString(drawn)
		p.drawn = p.height(drawn)
	}
	_, _ = io.WriteString(p.out, text.String()) // nobody is there to be told
}

// cut keeps a block that fits on the screen: what has scrolled away cannot be
// redrawn.
func (p *Progress) cut(block string) string {
	most := p.terminal.Lines - 1
	if most <= 0 || p.height(block) <= most {
		return block
	}
	var kept strings.Builder
	for line := range strings.Lines(block) {
		if p.height(kept.String()+line) >= most {
			break
		}
		kept.WriteString(line)
	}
	return kept.String() + "...\n"
}

// height is how many lines of the screen a text takes.
func (p *Progress) height(text string) int {
	height := 0
	for line := range strings.Lines(text) {
		width := utf8.RuneCountInString(coloured.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
		height++
		if p.terminal.Columns > 0 {
			height += max(width-1, 0) / p.terminal.Columns
		}
	}
	return height
}

// coloured is what paint adds.
var coloured = regexp.MustCompile("\x1b\\[[0-9]*m")
