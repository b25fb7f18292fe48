package advice_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/cmd/gatepost/internal/advice"
	"gatepost.dev/gatepost/policy"
)

// What `gatepost explain` says of a reason, docs/troubleshooting.md says under
// the reason's heading: the answer, what it means, and behind "Do:" what to do.
// The page may go on from there.
func TestEachReasonIsExplainedAlikeHereAndInTheDocuments(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string][]string{}
	for _, section := range strings.Split(string(page), "\n### ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		headings[name] = strings.Split(strings.TrimSpace(body), "\n\n")
	}
	for _, reason := range policy.Reasons() {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			want := advice.For(reason)
			if want.Answer == "" || want.Means == "" || want.Do == "" {
				t.Fatalf("the advice has gaps: %+v", want)
			}
			said := headings["`"+string(reason)+"`"]
			if len(said) < 3 {
				t.Fatalf("docs/troubleshooting.md has no heading `%s` with three paragraphs", reason)
			}
			got := advice.Advice{Answer: folded(said[0]), Means: folded(said[1]), Do: strings.TrimPrefix(folded(said[2]), "Do: ")}
			if strings.HasPrefix(got.Do, want.Do) { // the page may add where to read more
				got.Do = want.Do
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-advice +docs/troubleshooting.md):\n%s", diff)
			}
		})
	}
}

func TestAReasonThatIsNoneHasNoAdvice(t *testing.T) {
	t.Parallel()
	if got := advice.For("no_such_reason"); got != (advice.Advice{}) {
		t.Errorf("got %+v", got)
	}
}

var (
	blanks = regexp.MustCompile(`\s+`)
	links  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// folded is a paragraph on one line, without its links.
func folded(text string) string {
	return links.ReplaceAllString(blanks.ReplaceAllString(strings.TrimSpace(text), " "), "$1")
}
