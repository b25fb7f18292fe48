package agno_test

import (
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

func TestStreamsInChromium(t *testing.T) {
	t.Parallel()
	s := open(t, true)
	s.on("a run outlasts its token", testOutlasts)
	s.on("a client that nobody keeps fresh loses the end of its session", testNotKeptFresh)
	s.on("a visitor who presses Stop cancels the run", testStop)
	s.on("a visitor who closes the page cancels the run", testLeave)
	s.on("with Close a run ends with its token", testClose)
}

// ended waits until the only run at the agent has ended, and returns how.
func (s *stage) ended() run {
	s.t.Helper()
	var last run
	s.await("the end of the run", func() bool {
		_, runs := s.seen()
		if len(runs) != 1 {
			return false
		}
		last = runs[0]
		return last.End != "" && last.End != "running"
	})
	return last
}

// last is the text of the page's last message.
func (v view) last() string {
	if len(v.Messages) == 0 {
		return ""
	}
	return v.Messages[len(v.Messages)-1].Content
}

const outlived = `gatepost_stream_outlived_token_total{kind="sse"}`

func testOutlasts(s *stage) {
	s.forget()
	s.backend(map[string]any{"life": 5})
	before := s.count(outlived)
	s.visit(s.URL)
	s.say("words 70 100", "word69")
	s.scene("idle", map[string]any{}, nil)
	if got := s.ended(); got.End != "completed" {
		s.t.Errorf("the run: %+v, want completed", got)
	}
	if got := s.view(); got.Alert != "" || len(got.Console) > 0 || !strings.Contains(got.last(), "word0 word1 ") {
		s.t.Errorf("the page shows %+v", got)
	}
	if n := s.count(outlived) - before; n != 1 {
		s.t.Errorf("%d streams outlived their token, want 1", n)
	}
}

func testNotKeptFresh(s *stage) {
	got := s.client(map[string]any{"life": 6}, step("sendAndReload", "words 70 100"))
	if len(got.Errors) != 1 || got.Errors[0] != "Session refresh failed: Failed to fetch session: Unauthorized" || got.Callbacks != 0 {
		s.t.Errorf("what the user sees: %q after %d callbacks; the guide says otherwise", got.Errors, got.Callbacks)
	}
	if r := s.ended(); r.End != "completed" {
		s.t.Errorf("the run: %+v, want completed", r)
	}
}

func testStop(s *stage) {
	s.forget()
	s.backend(nil)
	s.visit(s.URL)
	s.say("words 3000 20", "word2")
	s.scene("press", map[string]any{"name": "Stop"}, nil)
	if got := s.ended(); got.End != "cancelled" {
		s.t.Errorf("the run: %+v, want cancelled", got)
	}
	s.await("the call of /cancel", func() bool {
		_, runs := s.seen()
		return runs[0].Cancel
	})
}

func testLeave(s *stage) {
	s.forget()
	s.backend(nil)
	s.scene("open", map[string]any{"endpoint": s.URL}, nil)
	s.say("words 3000 20", "word2")
	s.scene("close", map[string]any{}, nil)
	if got := s.ended(); got.End != "cancelled" || got.Cancel {
		s.t.Errorf("the run: %+v, want cancelled by the disconnect alone", got)
	}
	s.await("the end of the stream at the sidecar", func() bool {
		return s.count(`gatepost_streams_active{kind="sse"}`) == 0
	})
	live.Figure("runs_left_after_the_page_closed", s.count(`gatepost_streams_active{kind="sse"}`), "streams")
}

func testClose(s *stage) {
	s.guard("onTokenExpiry: Continue", "onTokenExpiry: Close")
	s.forget()
	s.backend(map[string]any{"life": 4})
	s.visit(s.URL)
	s.say("words 3000 20", "")
	if got := s.ended(); got.End != "cancelled" {
		s.t.Errorf("the run: %+v, want cancelled", got)
	}
	s.scene("idle", map[string]any{}, nil)
	got := s.view()
	if !strings.Contains(got.Alert, "network error") {
		s.t.Errorf("the page shows %q, want the client's words for a cut stream", got.Alert)
	}
	if n := s.count(`gatepost_streams_closed_total{cause="token_expired",kind="sse"}`); n != 1 {
		s.t.Errorf("%d streams ended with their token, want 1", n)
	}
	s.say("again", "you said: again")
}
