package alerts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// panel is a panel of the dashboard; rows have no targets.
type panel struct {
	ID      int    `json:"id"`
	Title   string `json:"title"`
	Type    string `json:"type"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func TestDashboardAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	var board struct {
		UID    string  `json:"uid"`
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(read(t, boardFile), &board); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	seen := map[int]bool{}
	var queries []string
	for _, p := range board.Panels {
		if seen[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		seen[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, flaw := range w.flaws(target.Expr) {
				t.Errorf("the panel %q: %s", p.Title, flaw)
			}
			queries = append(queries, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	t.Logf("figure: dashboard_queries %d queries", len(queries))
	parses(t, queries)
}

var inlineQuery = regexp.MustCompile("`((?:sum|max|min|rate|histogram_quantile|gatepost_)[^`]*\\)?)`")

// Queries in runbooks and in the reference of metrics can be pasted.
func TestQueriesOfPagesAreSound(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(root + "/docs/runbooks/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no runbooks: %v", err)
	}
	w := newWorld(t)
	var queries []string
	for _, path := range append(paths, root+"/docs/reference/metrics.md", root+"/docs/troubleshooting.md") {
		for _, match := range inlineQuery.FindAllStringSubmatch(string(read(t, path)), -1) {
			query := strings.Join(strings.Fields(match[1]), " ")
			if strings.Contains(query, "{") && !strings.Contains(query, `"`) {
				continue // a name with its labels
			}
			for _, flaw := range w.flaws(query) {
				t.Errorf("%s: %s: %s", path, query, flaw)
			}
			queries = append(queries, query)
		}
	}
	parses(t, queries)
}
