package corpus

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed issuer/*.txtar
var issuerFiles embed.FS

// Issuer is one TokenIssuer and what everything that judges issuers must say of
// it: a file, the controller and the schema. Its archive, issuer/NAME.txtar, has a
// sentence, spec.yaml, and for one that is not valid errors and perhaps schema, as
// those of policies have.
type Issuer struct {
	// Name is the file's, without ending; also the issuer's.
	Name string
	// Sentence says what the archive is about.
	Sentence string
	// Manifest is the TokenIssuer.
	Manifest []byte
	// Errors are those of an issuer that is not valid, in order.
	Errors []string
	// SchemaAccepts says that an API server takes the issuer though it is not valid.
	SchemaAccepts bool
}

// Valid reports whether the issuer must compile.
func (i *Issuer) Valid() bool { return len(i.Errors) == 0 }

// Issuers reads all issuers of the corpus.
func Issuers(t testing.TB) []*Issuer {
	t.Helper()
	entries, err := issuerFiles.ReadDir("issuer")
	if err != nil {
		t.Fatal(err)
	}
	var all []*Issuer
	for _, entry := range entries {
		data, err := issuerFiles.ReadFile(path.Join("issuer", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := readIssuer(strings.TrimSuffix(entry.Name(), ".txtar"), data)
		if err != nil {
			t.Fatalf("issuer/%s: %v", entry.Name(), err)
		}
		all = append(all, issuer)
	}
	return all
}

func readIssuer(name string, data []byte) (*Issuer, error) {
	parsed := txtar.Parse(data)
	i := &Issuer{Name: name, Sentence: strings.TrimSpace(string(parsed.Comment))}
	for _, f := range parsed.Files {
		text := strings.TrimSpace(string(f.Data))
		switch f.Name {
		case "spec.yaml":
			i.Manifest = manifestOf("TokenIssuer", name, text)
		case "errors":
			i.Errors = strings.Split(text, "\n")
		case "schema":
			i.SchemaAccepts = text != ""
		default:
			return nil, fmt.Errorf("what is the file %q for?", f.Name)
		}
	}
	if i.Sentence == "" || i.Manifest == nil || i.Valid() && i.SchemaAccepts {
		return nil, errors.New("an archive has a sentence, spec.yaml, and errors if it is not valid")
	}
	return i, nil
}
