package corpus_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/test/corpus"
)

func TestIssuerCorpusFile(t *testing.T) {
	issuers := corpus.Issuers(t)
	disagreements := 0
	for _, i := range issuers {
		t.Run(i.Name, func(t *testing.T) {
			doc, err := manifest.ParseIssuer(i.Manifest)
			if i.Valid() {
				if err != nil || doc.Name != i.Name {
					disagreements++
					t.Errorf("ParseIssuer = %+v, %v", doc, err)
				}
				return
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(i.Errors)), details(err)); diff != "" {
				disagreements++
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
	if len(issuers) < 60 {
		t.Errorf("only %d issuers: the corpus is not whole", len(issuers))
	}
	corpus.Figure("issuer_corpus", len(issuers), "issuers")
	corpus.Figure("issuer_corpus_file_disagreements", disagreements, "issuers")
}

// details are the errors of a file without their lines, sorted.
func details(err error) []string {
	var found manifest.Errors
	if !errors.As(err, &found) {
		return nil
	}
	texts := make([]string, len(found))
	for i, e := range found {
		texts[i] = e.Detail
		if e.Field != "" {
			texts[i] = e.Field + ": " + e.Detail
		}
	}
	slices.Sort(texts)
	return texts
}
