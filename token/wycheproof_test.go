package token_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// The public signature vectors are a Go module of data, which no code imports:
// the tests ask for this edition of it and compare its hash.
const (
	vectorsModule = "github.com/C2SP/wycheproof@v0.0.0-20250901140545-b51abcfb8daf"
	vectorsSum    = "h1:5BKKVVVj676FUWirLcouEEL6GCYR9X0opkMlEUck8FY="
)

// vectorDir is where the vectors are. Without a network and without the module
// in Go's cache the test skips, or fails where CI=true.
func vectorDir(t *testing.T) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", vectorsModule)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOSUMDB=off")
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var module struct{ Dir, Sum, Error string }
	if decoding := json.Unmarshal(out.Bytes(), &module); err != nil || decoding != nil || module.Dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the public signature vectors are not to be had: %v %s %s", err, module.Error, errs.Bytes())
		}
		t.Skipf("SKIPPED: the public signature vectors are not to be had: %v %s %s", err, module.Error, errs.Bytes())
	}
	if module.Sum != vectorsSum {
		t.Fatalf("the vectors have the hash %s, want %s", module.Sum, vectorsSum)
	}
	return filepath.Join(module.Dir, "testvectors_v1")
}

// vectorFile is the part of a file of vectors that these tests need.
type vectorFile struct {
	TestGroups []vectorGroup `json:"testGroups"`
}

type vectorGroup struct {
	Comment string          `json:"comment"`
	DER     string          `json:"publicKeyDer"`
	Private json.RawMessage `json:"private"`
	Public  json.RawMessage `json:"public"`
	Tests   []vector        `json:"tests"`
}

type vector struct {
	ID      int     `json:"tcId"`
	Comment string  `json:"comment"`
	Result  string  `json:"result"`
	Key     string  `json:"key"`
	Message string  `json:"msg"`
	Sig     string  `json:"sig"`
	Tag     string  `json:"tag"`
	JWS     jwsText `json:"jws"`
}

// jwsText is a compact JWS, or one in the JSON serialisation as its text.
type jwsText string

// UnmarshalJSON takes a string, or an object as it stands.
func (j *jwsText) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		text = string(data)
	}
	*j = jwsText(text)
	return nil
}

func readVectors(t *testing.T, dir, name string) []vectorGroup {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name+"_test.json"))
	must(t, err)
	var file vectorFile
	must(t, json.Unmarshal(data, &file))
	if len(file.TestGroups) == 0 {
		t.Fatalf("%s holds no vectors", name)
	}
	return file.TestGroups
}

// tally counts what became of vectors.
type tally struct{ vectors, invalidAccepted, refused atomic.Int64 }

// judge compares what became of one vector with what should have. A reason says
// why a valid one is refused here; anything but valid must be.
func (c *tally) judge(t *testing.T, v vector, accepted bool, reason string) {
	t.Helper()
	c.vectors.Add(1)
	valid := v.Result == "valid"
	switch {
	case accepted && (!valid || reason != ""):
		c.invalidAccepted.Add(1)
		t.Errorf("vector %d (%s, %s) was accepted %s", v.ID, v.Comment, v.Result, reason)
	case !accepted && valid && reason == "":
		t.Errorf("vector %d (%s) is valid and was refused", v.ID, v.Comment)
	case !accepted && valid:
		c.refused.Add(1)
		t.Logf("vector %d (%s) is refused: %s", v.ID, v.Comment, reason)
	}
}

// TestWycheproof is T6 and D7 by the public vectors: of signatures, checked by
// the function that tokens go through, and of whole JWS and JWK.
func TestWycheproof(t *testing.T) {
	dir := vectorDir(t)
	var count tally
	t.Run("signatures", func(t *testing.T) { signatureVectors(t, dir, &count) })
	t.Run("JWS", func(t *testing.T) {
		joseVectors(t, readVectors(t, dir, "json_web_signature"), &count)
	})
	t.Run("JWK", func(t *testing.T) {
		joseVectors(t, readVectors(t, dir, "json_web_key"), &count)
	})
	t.Run("crypto", func(t *testing.T) {
		joseVectors(t, readVectors(t, dir, "json_web_crypto"), &count)
	})
	fmt.Printf("figure: wycheproof_vectors %d vectors\n", count.vectors.Load())
	fmt.Printf("figure: wycheproof_valid_refused_by_policy %d vectors\n", count.refused.Load())
	fmt.Printf("figure: wycheproof_invalid_accepted %d vectors\n", count.invalidAccepted.Load())
}
