package password

import (
	"container/list"
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// HasherConfig bounds a Hasher. Zero values mean the defaults.
type HasherConfig struct {
	// AtOnce is how many passwords are hashed at the same time; GOMAXPROCS by default.
	AtOnce int
	// Memory is how many bytes their hashes may take together, 128 MiB by default. One
	// is always let in.
	Memory int64
	// Waiting is how many more may wait for their turn, 16 for each of AtOnce by default;
	// a negative number means none.
	Waiting int
}

// Hasher verifies passwords, never too many at once. One serves a process for as long as
// it runs, whatever users come and go. Its methods may be called at the same time.
type Hasher struct {
	atOnce, waiting int
	memory          int64
	computed        atomic.Uint64

	mu      sync.Mutex
	running int
	taken   int64
	queue   list.List // of *turn
}

// NewHasher makes a Hasher.
func NewHasher(config HasherConfig) *Hasher {
	h := &Hasher{atOnce: config.AtOnce, waiting: config.Waiting, memory: config.Memory}
	if h.atOnce <= 0 {
		h.atOnce = runtime.GOMAXPROCS(0)
	}
	if h.memory <= 0 {
		h.memory = 128 << 20
	}
	if h.waiting == 0 {
		h.waiting = 16 * h.atOnce
	}
	return h
}

// Computed is how many passwords have been hashed so far, right or wrong, of known
// users or of unknown ones.
func (h *Hasher) Computed() uint64 { return h.computed.Load() }

// Verify returns nil if the user has this password. Otherwise it is ErrWrong, ErrBusy,
// or what ended ctx while waiting for a turn; ctx should end within seconds.
//
// What is no password of anybody's, because it is empty, too long or has a NUL, is
// wrong without being hashed, for known and unknown users alike.
func (h *Hasher) Verify(ctx context.Context, users *Users, name, password string) error {
	if users.Len() == 0 || !users.possible(password) {
		return ErrWrong
	}
	end, err := h.begin(ctx, users.bytes())
	if err != nil {
		return err
	}
	defer end()
	h.computed.Add(1)
	if !users.verify(name, password) {
		return ErrWrong
	}
	return nil
}

// possible tells by its form alone whether a password could be somebody's.
func (u *Users) possible(password string) bool {
	longest := MaxBcryptLength
	for _, kind := range u.kinds {
		if kind.cost == 0 {
			longest = MaxLength
		}
	}
	return password != "" && len(password) <= longest && !strings.Contains(password, "\x00")
}

// bytes is the memory that a verification takes at its worst moment.
func (u *Users) bytes() int64 {
	var most int64
	for _, kind := range u.kinds {
		most = max(most, kind.bytes())
	}
	return most
}

// candidates are the hashes that a verification computes: one of each kind of the file,
// the user's own among dummies.
func (u *Users) candidates(name string) []hash {
	candidates := make([]hash, len(u.kinds))
	for i, of := range u.kinds {
		candidates[i] = dummy(of)
	}
	if found, known := u.byName[name]; known {
		candidates[found.kind] = found.hash
	}
	return candidates
}

// verify computes all of them, and says whether the user's own is the password's.
func (u *Users) verify(name, password string) bool {
	right := false
	for _, candidate := range u.candidates(name) {
		right = candidate.matches(password) || right
	}
	return right
}
