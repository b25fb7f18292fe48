package docs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tick := "```"
	for name, test := range map[string]struct {
		text string
		want []block
		err  string
	}{
		"a block without a language is prose": {text: tick + "\nls\n" + tick},
		"a block with a language needs a mark": {
			text: "# Page\n\n" + tick + "sh\nls\n" + tick,
			err:  "line 3: this sh block is not marked",
		},
		"a mark stands on the line before, not further up": {
			text: "<!-- run -->\n\n" + tick + "sh\nls\n" + tick,
			err:  "line 3: this sh block is not marked",
		},
		"a run and its output": {
			text: "<!-- run -->\n" + tick + "sh\necho a\n" + tick + "\nIt says:\n<!-- output -->\n" + tick + "\na\n" + tick,
			want: []block{{line: 3, mark: "run", text: "echo a\n"}, {line: 8, mark: "output", text: "a\n"}},
		},
		"an output inside of a comment": {
			text: "<!-- run -->\n" + tick + "sh\necho a\n" + tick + "\n<!-- output\na\n-->",
			want: []block{{line: 3, mark: "run", text: "echo a\n"}, {line: 6, mark: "output", text: "a\n"}},
		},
		"an output of nothing": {
			text: "<!-- output -->\n" + tick + "\na\n" + tick,
			err:  "line 2: this output follows no run",
		},
		"a file in a list loses the list's indentation": {
			text: "1. write\n   <!-- file a/b.py -->\n   " + tick + "python\n   if x:\n       y\n   " + tick,
			want: []block{{line: 4, mark: "file", name: "a/b.py", text: "if x:\n    y\n"}},
		},
		"a file wants a name": {
			text: "<!-- file -->\n" + tick + "python\nx\n" + tick,
			err:  "line 2: file wants a name",
		},
		"what is not run says why": {
			text: "<!-- not run: needs a cluster -->\n" + tick + "sh\nx\n" + tick,
			want: []block{{line: 3, mark: "not run", name: "needs a cluster", text: "x\n"}},
		},
		"what is not run and does not say why": {
			text: "<!-- not run: -->\n" + tick + "sh\nx\n" + tick,
			err:  "line 2: not run wants a name, a path or a reason",
		},
		"an unknown mark": {
			text: "<!-- ran -->\n" + tick + "sh\nx\n" + tick,
			err:  `line 2: "ran" is no mark`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(test.text)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one that says %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.blocks, cmp.AllowUnexported(block{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutputPattern(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, printed string
		want          bool
	}{
		"the same":                            {"a\nb\n", "a\nb", true},
		"a line more":                         {"a\n", "a\nb", false},
		"dots stand for a part of a line":     {`{"id": "..."}`, `{"id": "x1"}`, true},
		"dots on a line do not cross it":      {"a ... b", "a x\n b", false},
		"a line of dots stands for any lines": {"a\n...\nz", "a\nb\nc\nz", true},
		"a line of dots stands for none":      {"a\n...\nz", "a\nz", true},
		"dots at the end":                     {"a\n...", "a\nb\nc", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outputPattern(test.text).MatchString(test.printed); got != test.want {
				t.Errorf("%q against %q: %v", test.text, test.printed, got)
			}
		})
	}
}

func TestExchangeOfPorts(t *testing.T) {
	t.Parallel()
	p := withFreePorts(t, page{blocks: []block{
		{text: "python3 -m http.server 8000 --bind 127.0.0.1 # 18000 stays"},
		{text: "curl http://localhost:8000/ http://127.0.0.1:9901/"},
	}})
	first, second := p.blocks[0].text, p.blocks[1].text
	if strings.Contains(first, " 8000 ") || !strings.Contains(first, "18000 stays") || strings.Contains(second, ":8000/") || strings.Contains(second, ":9901/") {
		t.Errorf("the ports are\n%s\n%s", first, second)
	}
	port := strings.Fields(first)[3]
	if !strings.Contains(second, "localhost:"+port+"/") {
		t.Errorf("one port has become two:\n%s\n%s", first, second)
	}
}

func TestPolicyBlocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"below spec":     {"exemptions:\n- {methods: [GET], path: /health}\n", true},
		"unknown field":  {"exemption: []\n", false},
		"a whole policy": {"apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: x}\nspec: {exemptions: []}\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := checkPolicy(test.text); (err == nil) != test.ok {
				t.Errorf("checkPolicy: %v", err)
			}
		})
	}
}

func TestManifestBlocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"two objects":        {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\n", true},
		"an unknown field":   {"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, lable: {}}\n", false},
		"an unknown kind":    {"apiVersion: v1\nkind: Nmespace\n", false},
		"a bad policy":       {"apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: a}\nspec: {mode: Off}\n", false},
		"a signing key":      {"apiVersion: gatepost.dev/v1alpha1\nkind: SigningKey\nmetadata: {name: a}\nspec: {algorithm: HS256}\n", true},
		"a policy that fits": {"apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: a}\nspec: {selector: {}}\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := checkManifest(test.text); (err == nil) != test.ok {
				t.Errorf("checkManifest: %v", err)
			}
		})
	}
}
