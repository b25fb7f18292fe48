package filewatch

import (
	"os"
	"sync"
	"syscall"
)

// hints tells that something was moved to where it is looked for, so that a
// mount that was swapped is looked at now and not only when it is time. It is no
// more than that: what it misses, the next look sees.
type hints struct {
	c      chan struct{} // nil without hints: receiving waits for ever
	events *os.File
	reader sync.WaitGroup
}

// newHints listens in directories. Where the system has no room for it, there
// are no hints.
func newHints(dirs []string) *hints {
	h := new(hints)
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return h
	}
	h.events = os.NewFile(uintptr(fd), "inotify")
	for _, dir := range dirs {
		if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MOVED_TO|syscall.IN_ONLYDIR); err == nil {
			h.c = make(chan struct{}, 1)
		}
	}
	if h.c != nil {
		h.reader.Go(h.read)
	}
	return h
}

// read passes on that there were events, until close.
func (h *hints) read() {
	var events [4096]byte
	for {
		if _, err := h.events.Read(events[:]); err != nil {
			return
		}
		select {
		case h.c <- struct{}{}:
		default:
		}
	}
}

func (h *hints) close() {
	if h.events != nil {
		_ = h.events.Close() // nothing was written
	}
	h.reader.Wait()
}
