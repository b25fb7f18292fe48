package stage

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Event is one server-sent event, and when it came after the request began.
type Event struct {
	Name, Data string
	After      time.Duration
}

// Stream reads the agent's event stream with a valid token and tells each event
// as it comes.
func (a *Agent) Stream(ctx context.Context, tell func(Event)) ([]Finding, error) {
	token, err := a.Signer.Sign(ctx, Teacher(), a.lifetime, true)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL("/stream"), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header = bearer(token.Text)
	began := time.Now()
	response, err := a.Pod.Do(request)
	if err != nil {
		return nil, fmt.Errorf("opening the stream: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var events []Event
	var event Event
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			event.Name = value
		case "data":
			event.Data = value
		case "":
			event.After = time.Since(began)
			events = append(events, event)
			tell(event)
			event = Event{}
		}
	}
	return judgeStream(response.StatusCode, events), nil
}

// judgeStream: the agent pauses a quarter of a second after each word. Had
// anything on the way held events back, they would come together at the end.
func judgeStream(status int, events []Event) []Finding {
	if len(events) < 2 {
		return []Finding{found(false, "an event stream", fmt.Sprintf("%d, %d events", status, len(events)))}
	}
	first, last := events[0].After, events[len(events)-1].After
	spread := last - first
	paused := time.Duration(len(events)-1) * 250 * time.Millisecond
	complete := status == http.StatusOK && events[len(events)-1].Name == "done"
	return []Finding{found(complete && spread > paused/2, "an event stream, event by event",
		fmt.Sprintf("%d events, the last %s after the first", len(events), spread.Round(10*time.Millisecond)))}
}
