package output

import (
	"strconv"
	"strings"
	"unicode"
)

// Tone says how good a text is; on a terminal it is a colour.
type Tone int

// The tones.
const (
	Plain Tone = iota
	// Good is as it should be.
	Good
	// Notice is under way, or wants a look.
	Notice
	// Bad wants something done.
	Bad
	// Faint is beside the point.
	Faint
)

// paint colours a text.
func (t Tone) paint(text string, terminal Terminal) string {
	codes := map[Tone]string{Good: "32", Notice: "33", Bad: "31", Faint: "2"}
	code, ok := codes[t]
	if !ok || !terminal.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Paint is a text in a tone, cleaned, for what is not a table.
func Paint(text string, tone Tone, terminal Terminal) string {
	return tone.paint(Clean(text), terminal)
}

// Clean writes what is not printable, and what turns the direction of writing,
// as escapes; a line feed too, for a cell and a line of progress are one line.
func Clean(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var clean strings.Builder
	for _, r := range text {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			clean.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		clean.WriteRune(r)
	}
	return clean.String()
}
