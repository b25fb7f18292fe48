package keyring

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// histories is how many random histories CI plays; GATEPOST_SOAK multiplies it.
const histories = 300

func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// Whatever dies, is late, lost, restored or revoked: no valid token is refused,
// no key comes back, and there is at most one active key, and one once there was.
func TestNoHistoryRefusesAValidToken(t *testing.T) {
	t.Parallel()
	rotated, minted := 0, 0
	for seed := range uint64(histories * soak()) {
		w := newWorld(seed)
		w.live(6 * time.Hour)
		if w.violated != "" {
			t.Fatalf("seed %d, at +%s: %s", seed, w.now.Sub(day), w.violated)
		}
		rotated += w.rotated
		minted += w.minted
	}
	t.Logf("figure: keyring_histories %d histories", histories*soak())
	t.Logf("figure: keyring_rotations %d rotations", rotated)
	t.Logf("figure: keyring_tokens %d tokens", minted)
	if rotated < histories || minted < 1000*histories {
		t.Errorf("the histories are too dull: %d rotations, %d tokens", rotated, minted)
	}
}

// The test above can fail: each of these mistakes is found.
func TestHistoriesFindSeededFaults(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{
		bundlesNotAwaited, exportNotAwaited, overlapTooShort, prePublishTooShort,
		nothingRemembered, stateWrittenBlindly, bundleWrittenLate,
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(histories) {
				w := newWorld(seed, f)
				if w.live(6 * time.Hour); w.violated != "" {
					t.Logf("seed %d, at +%s: %s", seed, w.now.Sub(day), w.violated)
					return
				}
			}
			t.Errorf("%d histories did not find it", histories)
		})
	}
}
