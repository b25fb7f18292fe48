package password

import (
	"container/list"
	"context"
)

// turn is somebody who waits for memory and a place.
type turn struct {
	bytes int64
	comes chan struct{} // closed when it has come
}

// begin waits for a place and so much memory; end gives them back.
func (h *Hasher) begin(ctx context.Context, bytes int64) (end func(), err error) {
	end = func() { h.finish(bytes) }
	h.mu.Lock()
	if h.queue.Len() == 0 && h.fits(bytes) {
		h.start(bytes)
		h.mu.Unlock()
		return end, nil
	}
	if h.queue.Len() >= h.waiting {
		h.mu.Unlock()
		return nil, ErrBusy
	}
	mine := &turn{bytes: bytes, comes: make(chan struct{})}
	place := h.queue.PushBack(mine)
	h.mu.Unlock()
	select {
	case <-mine.comes:
		return end, nil
	case <-ctx.Done():
		return nil, h.leave(ctx, place, mine)
	}
}

// leave gives up waiting, or gives back a turn that came at the last moment.
func (h *Hasher) leave(ctx context.Context, place *list.Element, mine *turn) error {
	h.mu.Lock()
	select {
	case <-mine.comes:
		h.mu.Unlock()
		h.finish(mine.bytes)
	default:
		h.queue.Remove(place)
		h.next() // it may have been in the way of a smaller one
		h.mu.Unlock()
	}
	return context.Cause(ctx)
}

func (h *Hasher) fits(bytes int64) bool {
	return h.running == 0 || h.running < h.atOnce && h.taken+bytes <= h.memory
}

func (h *Hasher) start(bytes int64) {
	h.running++
	h.taken += bytes
}

func (h *Hasher) finish(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	h.taken -= bytes
	h.next()
}

// next lets in those whose turn it is, in the order in which they came.
func (h *Hasher) next() {
	for place := h.queue.Front(); place != nil; place = h.queue.Front() {
		first, isTurn := place.Value.(*turn)
		if !isTurn || !h.fits(first.bytes) {
			return
		}
		h.queue.Remove(place)
		h.start(first.bytes)
		close(first.comes)
	}
}
