package output

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// gap is between two columns.
const gap = 3

// leastWrap is the narrowest that a column becomes; one that would have to be
// narrower goes below its row, behind an indent.
const (
	leastWrap = 30
	hang      = "    "
)

// leastSentence is the narrowest that a sentence becomes.
const leastSentence = 16

// Table is rows under headings, as kubectl prints them.
type Table struct {
	// Title is a sentence above the table.
	Title   Cell
	Columns []Column
	// Rows have a cell for each column.
	Rows [][]Cell
	// Bare leaves the headings out.
	Bare bool
	// Empty is said instead of a table without rows.
	Empty string
}

// Column is one column of a Table.
type Column struct {
	// Name is its heading; write it in capitals.
	Name string
	// Optional columns are left out, the last first, where a terminal is too
	// narrow.
	Optional bool
	// Wrap lets the texts of a column run over several lines where a terminal is
	// too narrow, and below their rows where it is narrower still.
	Wrap bool
}

// Cell is one text in a table.
type Cell struct {
	Text string
	Tone Tone
}

// Row is cells without a tone.
func Row(texts ...string) []Cell {
	cells := make([]Cell, len(texts))
	for i, text := range texts {
		cells[i].Text = text
	}
	return cells
}

// Render is the table as lines, each with its newline.
func (t Table) Render(terminal Terminal) string {
	var text strings.Builder
	if t.Title.Text != "" {
		text.WriteString(Sentence(t.Title, "", terminal))
	}
	if len(t.Rows) == 0 {
		if t.Empty != "" {
			text.WriteString(Sentence(Cell{Text: t.Empty}, "", terminal))
		}
		return text.String()
	}
	rows := t.cleaned()
	if !t.Bare {
		rows = append([][]Cell{t.headings()}, rows...)
	}
	l := t.fit(rows, terminal.Columns)
	for i, row := range rows {
		l.write(&text, row, terminal)
		for _, column := range l.below {
			if row[column].Text != "" && (i > 0 || t.Bare) {
				text.WriteString(Sentence(row[column], hang, terminal))
			}
		}
	}
	return text.String()
}

func (t Table) headings() []Cell {
	headings := make([]Cell, len(t.Columns))
	for i, column := range t.Columns {
		headings[i] = Cell{Text: column.Name, Tone: Faint}
	}
	return headings
}

func (t Table) cleaned() [][]Cell {
	rows := make([][]Cell, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = make([]Cell, len(t.Columns))
		for j := range min(len(row), len(t.Columns)) {
			rows[i][j] = Cell{Text: Clean(row[j].Text), Tone: row[j].Tone}
		}
	}
	return rows
}

// layout is which columns stand beside each other, which below their rows, and
// how wide each is.
type layout struct {
	kept, below, widths []int
}

// fit lays the columns out for a terminal: texts that may are wrapped, then put
// below, then optional columns are left out.
func (t Table) fit(rows [][]Cell, columns int) layout {
	l := layout{widths: make([]int, len(t.Columns))}
	for i := range t.Columns {
		l.kept = append(l.kept, i)
		for _, row := range rows {
			l.widths[i] = max(l.widths[i], utf8.RuneCountInString(row[i].Text))
		}
	}
	if columns <= 0 {
		return l
	}
	for i := len(t.Columns) - 1; i >= 0; i-- {
		over := l.total() - columns
		switch {
		case over <= 0 || !t.Columns[i].Wrap:
		case l.widths[i]-over >= leastWrap:
			l.widths[i] -= over
		default:
			l.drop(i)
			l.below = append(l.below, i)
		}
	}
	for i := len(t.Columns) - 1; i >= 0 && l.total() > columns; i-- {
		if t.Columns[i].Optional {
			l.drop(i)
		}
	}
	return l
}

func (l *layout) drop(column int) {
	l.kept = slices.DeleteFunc(l.kept, func(i int) bool { return i == column })
}

func (l *layout) total() int {
	sum := gap * (len(l.kept) - 1)
	for _, i := range l.kept {
		sum += l.widths[i]
	}
	return sum
}

// write writes a row, on as many lines as its longest cell needs.
func (l *layout) write(text *strings.Builder, row []Cell, terminal Terminal) {
	lines, height := make([][]string, len(row)), 1
	for _, i := range l.kept {
		lines[i] = wrap(row[i].Text, l.widths[i])
		height = max(height, len(lines[i]))
	}
	for n := range height {
		pending := 0
		for _, i := range l.kept {
			part := ""
			if n < len(lines[i]) {
				part = lines[i][n]
			}
			if part != "" {
				text.WriteString(strings.Repeat(" ", pending))
				text.WriteString(row[i].Tone.paint(part, terminal))
				pending = 0
			}
			pending += l.widths[i] + gap - utf8.RuneCountInString(part)
		}
		text.WriteByte('\n')
	}
}

// wrap breaks a text between words into lines of at most width characters; a
// word that is longer is broken anywhere.
func wrap(text string, width int) []string {
	if utf8.RuneCountInString(text) <= width || width <= 0 {
		return []string{text}
	}
	var lines []string
	rest := []rune(text)
	for len(rest) > width {
		cut := width
		for i := width; i > 0; i-- {
			if rest[i] == ' ' {
				cut = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(rest[:cut]), " "))
		rest = []rune(strings.TrimLeft(string(rest[cut:]), " "))
	}
	if len(rest) > 0 {
		lines = append(lines, string(rest))
	}
	return lines
}

// Sentence is a text broken at the width of a terminal, each line behind an
// indent.
func Sentence(text Cell, indent string, terminal Terminal) string {
	width := 0
	if terminal.Columns > 0 {
		width = max(terminal.Columns-utf8.RuneCountInString(indent), leastSentence)
	}
	var lines strings.Builder
	for _, line := range wrap(Clean(text.Text), width) {
		lines.WriteString(indent + text.Tone.paint(line, terminal) + "\n")
	}
	return lines.String()
}
