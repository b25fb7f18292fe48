package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// group is one file of the corpus: cases of one row of the threats.
type group struct {
	name   string // of the file
	policy string // of corpus/policies
	cases  []testCase
}

// testCase is one attack and its twin.
type testCase struct {
	name     string
	request  template
	answers  []expected // to the attack
	twin     []expected // to the twin
	cleaned  bool       // the attack reaches the agent, without <evil>
	has      []string   // the last answer to the attack contains each of these
	lacks    []string   // and none of these
	truncate bool       // the agent sees the beginning of the attack, not its end
	passed   bool       // the attack reaches the agent as an ordinary request, as the answer shows
}

// expected is one answer.
type expected struct {
	status int
	reason string
}

// reaches reports whether the answer is the agent's, which knows only these.
func (e expected) reaches() bool { return e.status == 200 || e.status == 101 }

// readCorpus reads every group, in the order of the files' names.
func readCorpus(t testing.TB) []group {
	t.Helper()
	paths, err := filepath.Glob("corpus/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no corpus: ", err)
	}
	groups := make([]group, 0, len(paths))
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		g, err := readGroup(strings.TrimSuffix(filepath.Base(path), ".txtar"), content)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		groups = append(groups, g)
	}
	return groups
}

func readGroup(name string, content []byte) (group, error) {
	archive := txtar.Parse(content)
	g := group{name: name, policy: "main"}
	for line := range strings.Lines(string(archive.Comment)) {
		if policy, ok := strings.CutPrefix(line, "policy: "); ok {
			g.policy = strings.TrimSpace(policy)
		}
	}
	seen := map[string]bool{}
	for _, file := range archive.Files {
		if seen[file.Name] {
			return g, fmt.Errorf("%s: there twice", file.Name)
		}
		seen[file.Name] = true
		c, err := readCase(file.Name, string(file.Data))
		if err != nil {
			return g, fmt.Errorf("%s: %w", file.Name, err)
		}
		g.cases = append(g.cases, c)
	}
	return g, nil
}

// readCase reads the expected answers, the directives, and the request: headers
// of the standard request, or after a line ">" the whole of it.
func readCase(name, text string) (testCase, error) {
	c := testCase{name: name, twin: []expected{{200, "ok"}}}
	first, rest, _ := strings.Cut(text, "\n")
	var err error
	if first, c.cleaned = strings.CutSuffix(first, " cleaned"); !c.cleaned {
		first, c.truncate = strings.CutSuffix(first, " truncated")
	}
	first, c.passed = strings.CutSuffix(first, " passed")
	if c.answers, err = readAnswers(first); err != nil {
		return c, err
	}
	for {
		line, after, _ := strings.Cut(rest, "\n")
		directive, value, _ := strings.Cut(line, ": ")
		switch directive {
		case "twin":
			if c.twin, err = readAnswers(value); err != nil {
				return c, err
			}
		case "has":
			c.has = append(c.has, value)
		case "lacks":
			c.lacks = append(c.lacks, value)
		default:
			c.request, err = readRequest(rest)
			return c, err
		}
		rest = after
	}
}

// readAnswers reads "401 missing_credential", several of them after commas.
func readAnswers(text string) ([]expected, error) {
	var all []expected
	for one := range strings.SplitSeq(text, ", ") {
		code, reason, ok := strings.Cut(one, " ")
		status, err := strconv.Atoi(code)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q: write status and reason", one)
		}
		all = append(all, expected{status, reason})
	}
	return all, nil
}

func readRequest(text string) (template, error) {
	if raw, ok := strings.CutPrefix(text, ">\n"); ok {
		text = raw
	} else {
		text = "GET /notes/<mark> HTTP/1.1\nHost: agent.example\n" + strings.TrimRight(text, "\n") + "\n\n"
	}
	if !strings.Contains(text, "<mark>") || !strings.Contains(text, "[[") {
		return "", fmt.Errorf("a request needs a <mark> and a [[honest => flawed]]")
	}
	return template(text), nil
}
