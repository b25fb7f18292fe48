package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/filewatch"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/token"
)

// Sources are where policy and keys are read from.
type Sources struct {
	// Policy is the file with the AgentAuthPolicy.
	Policy string
	// Keys is a directory as the sidecar's --keys, or a keys.json as it is mounted
	// into a pod.
	Keys string
	// Remotes fetches remote key sets; nil: they are not fetched, and their tokens
	// are keys_unavailable.
	Remotes *token.Remotes
}

// Load reads a policy and its keys as a sidecar does. Errors name the flag, the
// file and the field.
func (s Sources) Load(now time.Time) (*bundle.Snapshot, error) {
	content, err := readFlag("--policy", s.Policy)
	if err != nil {
		return nil, err
	}
	doc, err := manifest.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("--policy %s: %w", s.Policy, err)
	}
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	snapshot, err := bundle.Load(doc, keys, bundle.Options{Remotes: s.Remotes, Now: now})
	switch {
	case err != nil && s.Keys == "":
		return nil, fmt.Errorf("--policy %s: %w; no keys were given: name their directory with --keys DIR", s.Policy, err)
	case err != nil:
		return nil, fmt.Errorf("--policy %s, --keys %s: %w", s.Policy, s.Keys, err)
	}
	if s.Remotes != nil {
		s.Remotes.Use(snapshot.Verifier)
	}
	return snapshot, nil
}

// keys are those of a directory or of a keys.json. Without --keys there are
// none, which is right for a policy that needs none.
func (s Sources) keys() (bundle.Keys, error) {
	if s.Keys == "" {
		return bundle.Directory("DIR", nil), nil
	}
	info, err := os.Stat(s.Keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("--keys: there is no file %s: name another", s.Keys)
	case err != nil:
		return nil, fmt.Errorf("--keys: %w", err)
	case !info.IsDir():
		content, err := readFlag("--keys", s.Keys)
		if err != nil {
			return nil, err
		}
		keys, err := bundle.File(content)
		if err != nil {
			return nil, fmt.Errorf("--keys %s: it is a file, so it should be a keys.json; name a directory of keys otherwise: %w", s.Keys, err)
		}
		return keys, nil
	}
	dir := filepath.Clean(s.Keys)
	watcher, err := filewatch.New(filewatch.Config{Paths: []string{dir}})
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	files, err := watcher.Read()
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	return bundle.Directory(dir, files.Within(dir)), nil
}

// readFlag reads the file that a flag names.
func readFlag(flag, path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no file %s: name another", flag, path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return content, nil
}
