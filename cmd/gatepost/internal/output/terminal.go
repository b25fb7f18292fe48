package output

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"
)

// Terminal is what can be shown. The zero value is a file or a pipe: no colour,
// nothing redrawn, lines as long as they are.
type Terminal struct {
	// Interactive says that a person sees it, and that lines can be redrawn.
	Interactive bool
	// Colour says that colours may be used.
	Colour bool
	// Columns and Lines are its size; 0 is unbounded.
	Columns, Lines int
}

// Detect looks at what is behind a writer. COLUMNS says how wide a terminal is to
// be taken for.
func Detect(out io.Writer) Terminal {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return Terminal{}
	}
	columns, lines, err := term.GetSize(int(file.Fd()))
	if err != nil {
		columns, lines = 0, 0
	}
	if set, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && set > 0 {
		columns = set
	}
	dumb := os.Getenv("TERM") == "dumb"
	return Terminal{Interactive: !dumb, Colour: !dumb && os.Getenv("NO_COLOR") == "", Columns: columns, Lines: lines}
}

// CanAsk says whether a person can be asked: both what is read and what is
// written are terminals.
func CanAsk(in io.Reader, out io.Writer) bool {
	file, ok := in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && Detect(out) != Terminal{}
}
