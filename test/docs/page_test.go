// Package docs runs the examples of README.md, docs/ and examples/: tests only.
//
// A fenced block is what the HTML comment on the line before it says:
//
//	<!-- run -->            bash, in the page's own folder, sidecar, issuer and gatepost on PATH
//	<!-- cluster -->        bash, with kubectl on a control plane where examples/fastapi
//	                        is applied and a controller runs; with the tag cluster
//	<!-- output -->         what the block before it printed; ... stands for anything
//	<!-- file NAME -->      written to the page's folder at this point of the page
//	<!-- policy -->         a policy file, or what stands below its spec; compiles.
//	<!-- policy NAME -->    the same, and written
//	<!-- manifest -->       Kubernetes objects, read strictly; with NAME also written
//	<!-- from PATH -->      stands so in that file of the repository
//	<!-- not run: why -->
//
// A block with a language and without such a comment fails; one without a
// language, or of language text, is prose. What a page's output must be may also
// stand inside of the comment: <!-- output, a line break, the text, -->.
//
// The blocks of a page are one shell session in a folder that looks like this
// checkout, without bin and keys. Programs that run in the background end with
// the page. Ports of 127.0.0.1 and localhost are exchanged for free ones.
// `<!-- needs program:curl python:fastapi node:test/clients/issuers -->` says
// what a page needs; node_modules of the last such folder is then beside the
// page's files.
package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The marks of blocks.
const (
	markRun      = "run"
	markCluster  = "cluster"
	markOutput   = "output"
	markFile     = "file"
	markPolicy   = "policy"
	markManifest = "manifest"
	markFrom     = "from"
	markNotRun   = "not run"
)

// page is a document with examples.
type page struct {
	needs  []string
	blocks []block
}

// block is one fenced block, or an output inside of a comment.
type block struct {
	line int    // of its first line of text, from 1
	mark string // one of the marks
	name string // what follows the mark
	text string
}

// writes says that the block becomes a file of the page's folder.
func (b block) writes() bool {
	return b.mark == markFile || b.name != "" && (b.mark == markPolicy || b.mark == markManifest)
}

// runs is the page as it is run in one place: of the blocks that run, only those of
// the mark, and their outputs.
func (p page) runs(mark string) page {
	part := page{needs: p.needs}
	here := false
	for _, b := range p.blocks {
		switch b.mark {
		case markRun, markCluster:
			here = b.mark == mark
			b.mark = markRun
			if here {
				part.blocks = append(part.blocks, b)
			}
		case markOutput:
			if here {
				part.blocks = append(part.blocks, b)
			}
		default:
			part.blocks = append(part.blocks, b)
		}
	}
	return part
}

// has reports whether any block has the mark.
func (p page) has(mark string) bool {
	return slices.ContainsFunc(p.blocks, func(b block) bool { return b.mark == mark })
}

var (
	fence   = regexp.MustCompile("^( *)```+ *([A-Za-z0-9]*)")
	comment = regexp.MustCompile(`^ *<!-- *(.*?) *-->\s*$`)
)

// parse reads the blocks of a page; the error names all that are not marked.
func parse(text string) (page, error) {
	p := parser{lines: strings.Split(text, "\n")}
	for p.at < len(p.lines) {
		p.next()
	}
	if len(p.errs) > 0 {
		return page{}, fmt.Errorf("%s", strings.Join(p.errs, "\n"))
	}
	return p.page, nil
}

type parser struct {
	lines []string
	at    int
	page  page
	errs  []string
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
}

// next takes one line, or all lines of a block.
func (p *parser) next() {
	line := p.lines[p.at]
	switch {
	case strings.TrimSpace(line) == "<!-- "+markOutput:
		p.hiddenOutput()
	case fence.MatchString(line):
		p.fenced()
	default:
		if c := comment.FindStringSubmatch(line); c != nil && strings.HasPrefix(c[1], "needs ") {
			p.page.needs = append(p.page.needs, strings.Fields(c[1])[1:]...)
		}
		p.at++
	}
}

func (p *parser) hiddenOutput() {
	end := slices.IndexFunc(p.lines[p.at:], func(l string) bool { return strings.TrimSpace(l) == "-->" })
	if end < 0 {
		p.fail(p.at+1, "this comment has no line --> that ends it")
		end = len(p.lines) - p.at - 1
	}
	p.add(block{line: p.at + 2, mark: markOutput, text: strings.Join(p.lines[p.at+1:p.at+end], "\n") + "\n"})
	p.at += end + 1
}

func (p *parser) fenced() {
	opening := fence.FindStringSubmatch(p.lines[p.at])
	indent, language := opening[1], opening[2]
	b := block{line: p.at + 2}
	marked := p.at > 0 && p.mark(p.lines[p.at-1], &b)
	p.at++
	for ; p.at < len(p.lines) && strings.TrimSpace(p.lines[p.at]) != "```"; p.at++ {
		b.text += strings.TrimPrefix(p.lines[p.at], indent) + "\n"
	}
	p.at++
	switch {
	case marked:
		p.add(b)
	case language != "" && language != "text":
		p.fail(b.line-1, "this %s block is not marked: write <!-- run -->, <!-- cluster -->, <!-- output -->, <!-- file NAME -->, <!-- policy -->, "+
			"<!-- manifest -->, <!-- from PATH --> or <!-- not run: why --> on the line before it", language)
	}
}

// mark reads the comment before a block.
func (p *parser) mark(line string, b *block) bool {
	c := comment.FindStringSubmatch(line)
	if c == nil {
		return false
	}
	if why, ok := strings.CutPrefix(c[1], markNotRun+":"); ok {
		b.mark, b.name = markNotRun, strings.TrimSpace(why)
		return true
	}
	mark, name, _ := strings.Cut(c[1], " ")
	b.mark, b.name = mark, strings.TrimSpace(name)
	return true
}

// add takes a block that is marked as it may be.
func (p *parser) add(b block) {
	before := ""
	if n := len(p.page.blocks); n > 0 {
		before = p.page.blocks[n-1].mark
	}
	switch {
	case slices.Contains([]string{markRun, markCluster, markOutput}, b.mark) && b.name != "":
		p.fail(b.line-1, "%s is followed by nothing, not by %q", b.mark, b.name)
	case slices.Contains([]string{markFile, markFrom, markNotRun}, b.mark) && b.name == "":
		p.fail(b.line-1, "%s wants a name, a path or a reason", b.mark)
	case b.mark == markOutput && before != markRun && before != markCluster:
		p.fail(b.line-1, "this output follows no run")
	case !slices.Contains([]string{markRun, markCluster, markOutput, markFile, markPolicy, markManifest, markFrom, markNotRun}, b.mark):
		p.fail(b.line-1, "%q is no mark that this test knows", b.mark)
	}
	p.page.blocks = append(p.page.blocks, b)
}
