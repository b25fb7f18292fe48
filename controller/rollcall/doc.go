// Package rollcall asks sidecars what they have loaded. The controller says
// which sidecars should have which revision of which bundle (Expect) and reads
// at any time what they proved (Report); nothing here decides about keys.
//
// A sidecar answers `/state?nonce=` on its admin port, signed under a key that
// only its bundle holds (bundle.State, decision 18). Address, agent and network
// are not trusted: an answer counts when its pod UID is right and its signature
// covers the nonce of this very question. One that lacks the revision is asked
// soon after it was told of it and then ever more rarely, one that has it only
// to hear which keys it still accepts.
//
// All of it is one table in memory. What is due is decided by pure functions of
// the table and the clock (schedule.go, judge.go); the edge (ask.go) asks a
// bounded number at a time, and bundles take turns, so that one with thousands
// of dead pods keeps nobody waiting.
package rollcall
