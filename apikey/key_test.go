package apikey_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"gatepost.dev/gatepost/apikey"
)

// known is the key of 25 bytes 0, 1, 2...
const known = "gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"

func counting() io.Reader {
	raw := make([]byte, 64)
	for i := range raw {
		raw[i] = byte(i)
	}
	return bytes.NewReader(raw)
}

func generate(t *testing.T) apikey.Key {
	t.Helper()
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestGenerateMakesKeysThatParseReads(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key := generate(t)
		again, err := apikey.Parse(key.Reveal())
		if err != nil || again != key {
			t.Fatalf("Parse of a new key: %v", err)
		}
		if seen[key.Reveal()] || seen[key.ID()] {
			t.Fatal("a key or its id came twice")
		}
		seen[key.Reveal()], seen[key.ID()] = true, true
	}
}

func TestTheFormOfAKeyIsFixed(t *testing.T) {
	key, err := apikey.Generate(counting())
	if err != nil {
		t.Fatal(err)
	}
	if key.Reveal() != known || len(known) != apikey.Length {
		t.Errorf("the key of known bytes is %s, %d characters: keys that people hold would not be read any more", key.Reveal(), len(key.Reveal()))
	}
	sum := sha256.Sum256([]byte(known))
	if want := "sha256:" + hex.EncodeToString(sum[:]); key.Hash().String() != want {
		t.Errorf("Hash = %s, want %s", key.Hash(), want)
	}
	random := known[len("gpk_xxxxxxxx_") : len(known)-7]
	if bits := float64(len(random)) * math.Log2(32); bits < 128 {
		t.Errorf("a key has %.0f random bits", bits)
	} else {
		fmt.Printf("figure: api_key_random_bits %.0f bits\n", bits)
	}
}

func TestGenerateNeedsAllOfItsRandomness(t *testing.T) {
	if _, err := apikey.Generate(io.LimitReader(rand.Reader, 24)); err == nil {
		t.Error("a key was made of too few bytes")
	}
	want := errors.New("no entropy")
	if _, err := apikey.Generate(iotest.ErrReader(want)); !errors.Is(err, want) {
		t.Errorf("err = %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for sentence, text := range map[string]string{
		"nothing":                    "",
		"another prefix":             "gpx" + known[3:],
		"capital letters":            strings.ToUpper(known),
		"one letter as a capital":    known[:20] + strings.ToUpper(known[20:21]) + known[21:],
		"a blank before it":          " " + known,
		"a blank in place of a sign": known[:20] + " " + known[21:],
		"a line break after it":      known + "\n",
		"one sign less":              known[:len(known)-1],
		"one sign more":              known + "a",
		"no underscore":              known[:12] + "a" + known[13:],
		"a digit that is none":       known[:20] + "1" + known[21:],
		"a prefix alone":             "gpk_",
		"a bearer token":             "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl0",
		"two keys":                   known + "," + known,
		"a megabyte":                 "gpk_" + strings.Repeat("a", 1<<20),
	} {
		t.Run(sentence, func(t *testing.T) {
			key, err := apikey.Parse(text)
			if err == nil || key != (apikey.Key{}) {
				t.Fatalf("was read as a key")
			}
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the text: %v", err)
			}
		})
	}
}

// Every key with one wrong character, or two that changed places, is recognised
// without asking anybody.
func TestTheChecksumFindsTypingErrors(t *testing.T) {
	const digits = "abcdefghijklmnopqrstuvwxyz234567_"
	tried := 0
	for i := range known {
		for _, digit := range digits {
			wrong := known[:i] + string(digit) + known[i+1:]
			if wrong == known {
				continue
			}
			tried++
			if _, err := apikey.Parse(wrong); err == nil {
				t.Errorf("%q at %d is not noticed", digit, i)
			}
		}
		if i > 0 && known[i] != known[i-1] {
			tried++
			swapped := known[:i-1] + known[i:i+1] + known[i-1:i] + known[i+1:]
			if _, err := apikey.Parse(swapped); err == nil {
				t.Errorf("characters that changed places at %d are not noticed", i)
			}
		}
	}
	fmt.Printf("figure: api_key_typing_errors_found %d of %d\n", tried, tried)
}

// A key is not to be read off anything that prints it by mistake.
func TestAKeyPrintsAsRedacted(t *testing.T) {
	key := generate(t)
	encoded, err := json.Marshal(map[string]any{"key": key, "pointer": &key})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a key", "key", key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("a key", "key", key, "in", struct{ Key apikey.Key }{key})
	everything := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", key, key, key, key, key, key, key, []any{struct{ K apikey.Key }{key}}) + string(encoded) + log.String()
	if random := key.Reveal()[13:30]; strings.Contains(everything, random) {
		t.Errorf("the key is in\n%s", everything)
	}
	if !strings.Contains(everything, "redacted") {
		t.Error("nothing was printed")
	}
	if id := key.ID(); len(id) != 8 || !strings.HasPrefix(key.Reveal(), "gpk_"+id+"_") || (apikey.Key{}).ID() != "" {
		t.Errorf("ID = %q", id)
	}
}

func TestParseHash(t *testing.T) {
	hash := generate(t).Hash()
	got, err := apikey.ParseHash(hash.String())
	if err != nil || got != hash {
		t.Fatalf("ParseHash(%s) = %s, %v", hash, got, err)
	}
	for sentence, text := range map[string]string{
		"a key":             known,
		"no prefix":         hash.String()[7:],
		"another function":  "sha512:" + hash.String()[7:],
		"capital letters":   "sha256:" + strings.ToUpper(hash.String()[7:]),
		"one digit less":    hash.String()[:70],
		"one digit more":    hash.String() + "0",
		"a digit that isnt": "sha256:g" + hash.String()[8:],
	} {
		if _, err := apikey.ParseHash(text); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// FuzzParse holds that whatever is read as a key is the only spelling of it, and
// that everything else is refused without a word of it in the error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "gpk_", known, strings.ToUpper(known), known[:len(known)-1] + "b", "gpk_" + strings.Repeat("_", 48)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := apikey.Parse(text)
		if err != nil {
			if key != (apikey.Key{}) || len(text) > 12 && strings.Contains(err.Error(), text) {
				t.Fatalf("Parse(%q) = %v", text, err)
			}
			return
		}
		if key.Reveal() != text || len(text) != apikey.Length || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz234567_") != "" {
			t.Fatalf("Parse took %q", text)
		}
		if key.Hash() != sha256.Sum256([]byte(text)) {
			t.Fatal("the hash is not that of the text")
		}
	})
}
