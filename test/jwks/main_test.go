// Package jwks_test holds the built sidecar against key servers in every bad
// state: nobody gets in, secrets go on working, it hears of a recovery within ten
// seconds, and it does not grow.
package jwks_test

import (
	"os"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }
