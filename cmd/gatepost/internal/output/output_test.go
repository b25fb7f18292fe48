package output_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

func keys() output.Table {
	return output.Table{
		Columns: []output.Column{{Name: "NAME"}, {Name: "PHASE"}, {Name: "AGE", Optional: true}, {Name: "WHY", Wrap: true}},
		Rows: [][]output.Cell{
			{{Text: "tokens"}, {Text: "Active", Tone: output.Good}, {Text: "3d"}, {Text: "every pod has it"}},
			{{Text: "other"}, {Text: "Published", Tone: output.Notice}, {Text: "10s"}, {Text: "it waits for the pods chat-1 and chat-2"}},
			output.Row("bare"),
		},
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		terminal output.Terminal
		want     string
	}{
		"a pipe gets lines as long as they are, without colour": {
			want: "" +
				"NAME     PHASE       AGE   WHY\n" +
				"tokens   Active      3d    every pod has it\n" +
				"other    Published   10s   it waits for the pods chat-1 and chat-2\n" +
				"bare\n",
		},
		"a narrow terminal gets texts over several lines": {
			terminal: output.Terminal{Interactive: true, Columns: 60},
			want: "" +
				"NAME     PHASE       AGE   WHY\n" +
				"tokens   Active      3d    every pod has it\n" +
				"other    Published   10s   it waits for the pods chat-1 and\n" +
				"                           chat-2\n" +
				"bare\n",
		},
		"a narrower one gets them below": {
			terminal: output.Terminal{Interactive: true, Columns: 34},
			want: "" +
				"NAME     PHASE       AGE\n" +
				"tokens   Active      3d\n" +
				"    every pod has it\n" +
				"other    Published   10s\n" +
				"    it waits for the pods chat-1\n" +
				"    and chat-2\n" +
				"bare\n",
		},
		"a very narrow one loses what is optional": {
			terminal: output.Terminal{Interactive: true, Columns: 20},
			want: "" +
				"NAME     PHASE\n" +
				"tokens   Active\n" +
				"    every pod has it\n" +
				"other    Published\n" +
				"    it waits for the\n" +
				"    pods chat-1 and\n" +
				"    chat-2\n" +
				"bare\n",
		},
		"a terminal with colour gets tones": {
			terminal: output.Terminal{Interactive: true, Colour: true},
			want: "" +
				"\x1b[2mNAME\x1b[0m     \x1b[2mPHASE\x1b[0m       \x1b[2mAGE\x1b[0m   \x1b[2mWHY\x1b[0m\n" +
				"tokens   \x1b[32mActive\x1b[0m      3d    every pod has it\n" +
				"other    \x1b[33mPublished\x1b[0m   10s   it waits for the pods chat-1 and chat-2\n" +
				"bare\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, keys().Render(test.terminal)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestATableNeverMovesTheCursor(t *testing.T) {
	t.Parallel()
	got := output.Table{Columns: []output.Column{{Name: "SAYS"}}, Rows: [][]output.Cell{{{Text: "a\x1b[2Jb\nc\rd\u202ee"}}}}.
		Render(output.Terminal{Interactive: true, Colour: true})
	if !strings.Contains(got, `a\x1b[2Jb\nc\rd\u202ee`) {
		t.Errorf("got %q", got)
	}
}

func TestMachinesGetTheSameInJSONAndYAML(t *testing.T) {
	t.Parallel()
	value := struct {
		Name string   `json:"name"`
		Pods []string `json:"pods"`
	}{"a<b", []string{"x"}}
	for format, want := range map[output.Format]string{
		output.JSON: "{\n  \"name\": \"a<b\",\n  \"pods\": [\n    \"x\"\n  ]\n}\n",
		output.YAML: "name: a<b\npods:\n- x\n",
	} {
		var out bytes.Buffer
		if err := (output.Printer{Out: &out, Format: format}).Print(value, keys()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

func TestAFormatThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	var format output.Format
	if err := format.Set("wide"); err == nil || format != output.Text {
		t.Errorf("got %v, %q", err, format)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	steps := func(p *output.Progress) {
		block := func(second string) output.Table {
			return output.Table{Bare: true, Columns: make([]output.Column, 1), Rows: [][]output.Cell{output.Row("1 Active"), output.Row(second)}}
		}
		p.Update([]output.Line{{Text: "key 2 is published"}}, block("2 Published 0/2 pods"))
		p.Update(nil, block("2 Published 1/2 pods"))
		p.Update([]output.Line{{Text: "key 2 signs"}}, output.Table{})
	}
	for name, test := range map[string]struct {
		terminal output.Terminal
		want     string
	}{
		"a pipe gets the news alone": {want: "key 2 is published\nkey 2 signs\n"},
		"a terminal gets the block again and again": {
			terminal: output.Terminal{Interactive: true, Columns: 80, Lines: 24},
			want: "key 2 is published\n1 Active\n2 Published 0/2 pods\n" +
				"\x1b[2A\x1b[J1 Active\n2 Published 1/2 pods\n" +
				"\x1b[2A\x1b[Jkey 2 signs\n",
		},
		"a small terminal gets what can be redrawn": {
			terminal: output.Terminal{Interactive: true, Columns: 16, Lines: 3},
			want: "key 2 is\npublished\n1 Active\n...\n" +
				"\x1b[2A\x1b[J1 Active\n...\n" +
				"\x1b[2A\x1b[Jkey 2 signs\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			steps(output.NewProgress(&out, test.terminal))
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
