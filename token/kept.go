package token

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Kept is what became of a key set that is kept across restarts: it was read at
// the start, or it could not be read or written.
type Kept struct {
	// Providers are the names of the providers that use the set.
	Providers []string
	// URI is the set's address.
	URI string
	// At is when the set was fetched, Keys how many it holds.
	At   time.Time
	Keys int
	// Err says why it is not used, or not kept; nil: it is in force.
	Err error
}

// Bounds of a state directory: files, and bytes of one.
const (
	maxKeptFiles = 16
	maxKeptBytes = maxSetBytes
	keptSuffix   = ".jwks.json"
	newSuffix    = ".new"
	keptVersion  = "1"
)

// Why a kept set is not used.
var (
	errKeptForm    = errors.New("it is not as it was written")
	errKeptStale   = errors.New("it is older than maxStale, or from the future")
	errKeptAccess  = errors.New("others may write it: give the directory to the sidecar alone, and remove the file")
	errKeptOwner   = errors.New("another user made it, or it has a second name: give the directory to the sidecar alone, and remove the file")
	errKeptSecrets = errors.New("it holds secrets, which are never kept")
)

// shelf keeps key sets as files of one directory. Only public keys get there,
// because a file is written from parsed keys, never from what a server sent.
// Whoever can write there chooses the keys, so the directory is the sidecar's
// alone. The zero shelf keeps nothing.
type shelf struct{ dir string }

// keptFile is one set on the shelf.
type keptFile struct {
	Version   string `json:"version"`
	Feed      string `json:"feed"` // what it belongs to, so that a file that was renamed is noticed
	FetchedAt string `json:"fetchedAt"`
	JWKS      struct {
		Keys []json.RawMessage `json:"keys"`
	} `json:"jwks"`
}

// name is the file of a feed without its suffix: a hash of the address and of
// how far the network is trusted. An address may hold a secret.
func (k feedKey) name() string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00%v\x00%x", k.uri, k.insecure, k.ca)
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// put keeps a set. When that fails, nothing is kept: an older set may hold keys
// that are gone.
func (s shelf) put(key feedKey, good *goodSet) error {
	if s.dir == "" {
		return nil
	}
	root, err := s.open()
	if err != nil {
		return fmt.Errorf("opening state directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	name := key.name() + keptSuffix
	data, err := encodeKept(key.name(), good)
	if err == nil {
		err = replaceFile(root, name, data)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping key set: %w", err), ignoreAbsent(root.Remove(name)))
	}
	return prune(root, name)
}

// open opens the directory. A pipe in its place has no dot in it, and is not waited
// for.
func (s shelf) open() (*os.Root, error) { return os.OpenRoot(s.dir + string(os.PathSeparator) + ".") }

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func encodeKept(feed string, good *goodSet) ([]byte, error) {
	file := keptFile{Version: keptVersion, Feed: feed, FetchedAt: good.at.UTC().Format(time.RFC3339)}
	for _, key := range good.set.keys {
		entry, err := key.public()
		if err != nil {
			return nil, err
		}
		file.JWKS.Keys = append(file.JWKS.Keys, entry)
	}
	return json.Marshal(file)
}

// public is the key as a JSON Web Key, made of the public key itself.
func (k *verifyKey) public() (json.RawMessage, error) {
	var key any
	alg, algs := "", 0
	for i, check := range k.checks {
		public, ok := check.(*publicCheck)
		if !ok {
			continue
		}
		key, alg = public.key, algorithms[i].name
		algs++
	}
	if key == nil {
		return nil, errKeptSecrets
	}
	if algs > 1 {
		alg = ""
	}
	return publicDocument(key, k.kid, alg)
}

// replaceFile writes a file in one step.
func replaceFile(root *os.Root, name string, data []byte) error {
	fresh := name + newSuffix
	if err := ignoreAbsent(root.Remove(fresh)); err != nil {
		return err
	}
	file, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = root.Rename(fresh, name)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(root.Remove(fresh)))
	}
	return nil
}

// prune removes the oldest files when there are too many; it spares one.
func prune(root *os.Root, spared string) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("listing state directory: %w", err)
	}
	var ours []fs.FileInfo
	for _, entry := range entries {
		if !strings.HasSuffix(strings.TrimSuffix(entry.Name(), newSuffix), keptSuffix) || entry.Name() == spared {
			continue
		}
		if info, err := entry.Info(); err == nil {
			ours = append(ours, info)
		}
	}
	slices.SortFunc(ours, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, old := range ours[min(len(ours), maxKeptFiles-1):] {
		err = errors.Join(err, ignoreAbsent(root.Remove(old.Name())))
	}
	return err
}

// take reads the set of a feed, as strictly as a fetched one; nil without an
// error when there is none. It must not be older than maxStale at now.
func (s shelf) take(key feedKey, now time.Time, maxStale time.Duration) (*goodSet, error) {
	if s.dir == "" {
		return nil, nil //nolint:nilnil // nothing kept is no error
	}
	root, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("opening state directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := readKept(root, key.name()+keptSuffix)
	if err != nil || data == nil {
		return nil, err
	}
	good, err := decodeKept(key.name(), data)
	if err != nil {
		return nil, err
	}
	if !good.fresh(now, maxStale) {
		return nil, errKeptStale
	}
	return good, nil
}

func readKept(root *os.Root, name string) ([]byte, error) {
	before, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !before.Mode().IsRegular():
		return nil, errKeptForm
	}
	file, err := openKept(root, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !os.SameFile(before, info):
		return nil, errKeptOwner
	}
	if err := checkKept(info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, maxKeptBytes))
}

// openKept opens a file without waiting for whoever would write into a pipe that
// was put in its place a moment ago.
func openKept(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
}

// checkKept judges an open file. The directory says nothing: in a pod everyone
// may make files there.
func checkKept(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular() || info.Size() > maxKeptBytes:
		return errKeptForm
	case info.Mode().Perm()&0o022 != 0:
		return errKeptAccess
	case !ownAlone(info):
		return errKeptOwner
	}
	return nil
}

// decodeKept reads what encodeKept wrote and nothing else.
func decodeKept(feed string, data []byte) (*goodSet, error) {
	document, err := decodeObject(string(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeptForm, err)
	}
	text, _ := document["fetchedAt"].(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || document["version"] != keptVersion || document["feed"] != feed {
		return nil, errKeptForm
	}
	inner, _ := document["jwks"].(map[string]any)
	set, errs := readJWKS(inner)
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", errKeptForm, errors.Join(errs...))
	}
	if set.Len() == 0 {
		return nil, errKeptForm
	}
	return &goodSet{set: set, at: at}, nil
}
