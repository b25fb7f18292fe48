package demo

import (
	"fmt"
	"io"
	"strings"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// narrator tells the story and remembers its steps.
type narrator struct {
	out      io.Writer
	terminal output.Terminal
	act      string
	acts     int
	steps    []Step
}

// begin begins an act.
func (n *narrator) begin(act string) {
	n.act = act
	n.acts++
	n.tell(fmt.Sprintf("\n%d. %s", n.acts, act))
}

// step tells one step: it is as it should be when the answer contains want.
func (n *narrator) step(asked, answered, want string) {
	one := Step{Act: n.act, Asked: asked, Answered: answered, Want: want, OK: strings.Contains(answered, want)}
	n.steps = append(n.steps, one)
	mark, tone := "ok  ", output.Good
	if !one.OK {
		mark, tone = "FAIL", output.Bad
	}
	n.tell(fmt.Sprintf("   %s %s", output.Paint(mark, tone, n.terminal), output.Clean(asked)))
	n.tell("        " + output.Clean(answered))
	if !one.OK {
		n.tell("        wanted: " + output.Clean(want))
	}
}

// tell writes lines as they are.
func (n *narrator) tell(text string) { _, _ = fmt.Fprintln(n.out, text) }

func (n *narrator) passed() bool {
	for _, one := range n.steps {
		if !one.OK {
			return false
		}
	}
	return len(n.steps) > 0
}

func (n *narrator) end(r Report) {
	good := 0
	for _, one := range r.Steps {
		if one.OK {
			good++
		}
	}
	n.tell(fmt.Sprintf("\n%d of %d steps came out as they should, in %.0f seconds.", good, len(r.Steps), r.Seconds))
}
