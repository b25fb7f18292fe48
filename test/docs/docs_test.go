package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// What the documents show is done as it stands, but for the ports.
func TestExamplesOfDocuments(t *testing.T) {
	t.Parallel()
	for _, path := range documents(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p, err := parse(read(t, path))
			if err != nil {
				t.Fatalf("%s:\n%v", path, err)
			}
			for _, b := range p.blocks {
				check(t, path, b)
			}
			if p.has(markRun) {
				compare(t, path, withFreePorts(t, p.runs(markRun)))
			}
		})
	}
}

// The guides' index is written by hand.
func TestEveryGuideIsInTheIndex(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/guides/README.md")
	for _, path := range documents(t) {
		dir, name := filepath.Split(path)
		if dir == "docs/guides/" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/guides/README.md does not lead to %s", name)
		}
	}
}

// compare runs the page and holds its outputs against what was printed.
func compare(t *testing.T, path string, p page, env ...string) {
	t.Helper()
	printed := session(t, p, env...)
	for i, b := range p.blocks {
		if b.mark != markOutput {
			continue
		}
		if !outputPattern(b.text).MatchString(strings.TrimSpace(printed[i-1])) {
			t.Errorf("%s:%d: this output is not what the commands before it printed:\n%s\nwant\n%s", path, b.line, printed[i-1], b.text)
		}
	}
}

// outputPattern matches a whole output. Three dots stand for anything on their
// line, and on a line of their own for any lines.
func outputPattern(text string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(strings.TrimSpace(text))
	pattern = regexp.MustCompile(`(?m)^\\\.\\\.\\\.$\n?`).ReplaceAllString(pattern, "(?s:.*)")
	return regexp.MustCompile(`^` + strings.ReplaceAll(pattern, `\.\.\.`, `.*`) + `$`)
}

// documents lists the pages, relative to the module's root.
func documents(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md"}
	for _, root := range []string{"docs", "examples"} {
		err := fs.WalkDir(os.DirFS("../.."), root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() == "node_modules" {
				return fs.SkipDir
			}
			if strings.HasSuffix(path, ".md") {
				pages = append(pages, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pages
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
