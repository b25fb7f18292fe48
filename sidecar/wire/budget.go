package wire

import (
	"sync"
	"sync/atomic"
)

// Budget is an amount of memory in bytes that many connections share. The zero
// Budget has nothing to give; a nil one has no bound.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: bytes} }

// Take takes n bytes and reports whether there were as many; if not, it takes
// none.
func (b *Budget) Take(n int64) bool {
	if b == nil || n <= 0 || b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// Give gives back n bytes that were taken.
func (b *Budget) Give(n int64) {
	if b != nil && n > 0 {
		b.used.Add(-n)
	}
}

// Used is how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// buffer holds bytes in the order they came. It never takes more space by
// itself.
type buffer struct {
	space    []byte
	from, to int // what is held of space
}

// freeBytes is the space in bytes that every connection may have without asking
// the budget: ordinary heads fit.
const freeBytes = 4 << 10

// minRead is the least space in bytes that is worth a read.
const minRead = 512

// buffers holds the buffers of heads under way, so that an idle connection has
// none.
var buffers = sync.Pool{New: func() any { return &buffer{space: make([]byte, freeBytes)} }}

// bytes are what is held.
func (b *buffer) bytes() []byte { return b.space[b.from:b.to] }

// forget lets go of the first n bytes held.
func (b *buffer) forget(n int) { b.from += n }

// free is the space behind what is held, after moving that to the front.
func (b *buffer) free() []byte {
	if b.from > 0 {
		b.to = copy(b.space, b.bytes())
		b.from = 0
	}
	return b.space[b.to:]
}

// resize changes the space to n bytes, no fewer than are held.
func (b *buffer) resize(n int) {
	space := make([]byte, n)
	b.to = copy(space, b.bytes())
	b.from, b.space = 0, space
}
