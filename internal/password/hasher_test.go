package password

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watch is who is in and how much memory they take.
type watch struct {
	mu             sync.Mutex
	in             int
	memory         int64
	mostIn         int
	mostMemory     int64
	began, refused int
}

func (w *watch) enter(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in, w.memory, w.began = w.in+1, w.memory+bytes, w.began+1
	w.mostIn, w.mostMemory = max(w.mostIn, w.in), max(w.mostMemory, w.memory)
}

func (w *watch) leave(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in, w.memory = w.in-1, w.memory-bytes
}

// Of five hundred who come at once no more are in than there may be, no more wait, and
// all others are told at once.
func TestHashesAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config    HasherConfig
		bytes     int64
		in, began int
		memory    int64
	}{
		"by number":              {HasherConfig{AtOnce: 3, Waiting: 7}, 1, 3, 10, 3},
		"by memory":              {HasherConfig{AtOnce: 8, Waiting: 7, Memory: 128 << 20}, 64 << 20, 2, 9, 128 << 20},
		"one is always let in":   {HasherConfig{AtOnce: 8, Waiting: 2, Memory: 1 << 20}, 64 << 20, 1, 3, 64 << 20},
		"without a waiting room": {HasherConfig{AtOnce: 2, Waiting: -1}, 1, 2, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hasher, seen := NewHasher(c.config), new(watch)
				var all sync.WaitGroup
				for range 500 {
					all.Go(func() {
						end, err := hasher.begin(t.Context(), c.bytes)
						if err != nil {
							seen.mu.Lock()
							seen.refused++
							seen.mu.Unlock()
							return
						}
						seen.enter(c.bytes)
						time.Sleep(time.Second)
						seen.leave(c.bytes)
						end()
					})
				}
				all.Wait()
				if seen.mostIn != c.in || seen.mostMemory != c.memory || seen.began != c.began || seen.refused != 500-c.began {
					t.Errorf("at most %d in with %d bytes, %d began, %d were refused; want %d, %d, %d, %d", seen.mostIn,
						seen.mostMemory, seen.began, seen.refused, c.in, c.memory, c.began, 500-c.began)
				}
				if hasher.running != 0 || hasher.taken != 0 || hasher.queue.Len() != 0 {
					t.Errorf("%d run, %d bytes are taken, %d wait, but nobody is there", hasher.running, hasher.taken, hasher.queue.Len())
				}
			})
		})
	}
}

// However those who wait give up, no place is lost and no bound is broken.
func TestWhoGivesUpTakesNoPlace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			hasher, seen := NewHasher(HasherConfig{AtOnce: 3, Waiting: 50, Memory: 100}), new(watch)
			var all sync.WaitGroup
			for range 60 {
				patience, work := time.Duration(random.IntN(9))*time.Second, time.Duration(random.IntN(5))*time.Second
				bytes := random.Int64N(60)
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					end, err := hasher.begin(ctx, bytes)
					if err != nil {
						if !errors.Is(err, ErrBusy) && !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						return
					}
					seen.enter(bytes)
					time.Sleep(work)
					seen.leave(bytes)
					end()
				})
			}
			all.Wait()
			if seen.mostIn > 3 || seen.mostMemory > 100 {
				t.Errorf("seed %d: %d were in with %d bytes", seed, seen.mostIn, seen.mostMemory)
			}
			if hasher.running != 0 || hasher.taken != 0 || hasher.queue.Len() != 0 {
				t.Errorf("seed %d: %d run, %d bytes are taken, %d wait, but nobody is there", seed, hasher.running, hasher.taken, hasher.queue.Len())
			}
		})
	}
}

func TestTurnsComeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hasher := NewHasher(HasherConfig{AtOnce: 1, Waiting: 20})
		end, err := hasher.begin(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		var order []int // one at a time appends
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				end, err := hasher.begin(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				end()
			})
			synctest.Wait()
		}
		end()
		all.Wait()
		if !slices.IsSorted(order) || len(order) != 20 {
			t.Errorf("they came in the order %v", order)
		}
	})
}
