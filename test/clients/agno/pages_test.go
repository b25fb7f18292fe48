package agno_test

import "testing"

// Bare requests and WebSockets of pages: of the front end's origin, which the policy
// lists, and of another.
func TestPagesInChromium(t *testing.T) {
	t.Parallel()
	s := open(t, true)
	s.on("refusals are readable", testRefusals)
	s.on("a foreign page gets nothing", testForeignPage)
	s.on("mistakes look in the console as the guide says", testMistakes)
	s.on("WebSockets", testWebSockets)
	s.on("tokens in cookies", testCookies)
}
