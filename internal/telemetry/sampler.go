package telemetry

import (
	"sync"
	"time"
)

// Sampler lets through at most so many events per second and key, and counts
// the others. Keys must come from a closed set: it remembers each one.
type Sampler struct {
	perSecond int

	mu   sync.Mutex
	seen map[string]*window
}

// window is one second of one key.
type window struct {
	second     int64 // Unix time
	passed     int
	suppressed int // since the last event that passed
}

// NewSampler returns a sampler that lets perSecond events of each key through.
func NewSampler(perSecond int) *Sampler {
	return &Sampler{perSecond: perSecond, seen: map[string]*window{}}
}

// Allow reports whether the event at the time now may pass, and how many of its
// key were suppressed since the last one that did.
func (s *Sampler) Allow(key string, now time.Time) (ok bool, suppressed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.seen[key]
	if w == nil {
		w = &window{}
		s.seen[key] = w
	}
	if second := now.Unix(); second != w.second {
		w.second, w.passed = second, 0
	}
	if w.passed >= s.perSecond {
		w.suppressed++
		return false, 0
	}
	w.passed++
	suppressed, w.suppressed = w.suppressed, 0
	return true, suppressed
}
