package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
)

// client is the front end.
type client struct{ http *http.Client }

func newClient() *client {
	return &client{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}} // no proxy of the environment
}

// reply is an answer, read to its end.
type reply struct {
	status   int
	body     string
	decision string // X-Gatepost-Decision
	detail   string
	token    string
}

// said is the answer on one line. Tokens are cut short.
func (r reply) said() string {
	body := strings.TrimSpace(r.body)
	if r.token != "" {
		body = fmt.Sprintf(`{"token":"%.12s..."}`, r.token)
	}
	return fmt.Sprintf("%d %s", r.status, body)
}

// ask sends one request; a bearer that is not empty goes with it.
func (c *client) ask(ctx context.Context, method, url, bearer string) (reply, error) {
	res, err := c.send(ctx, method, url, bearer)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return reply{}, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	var members struct{ Detail, Token string }
	_ = json.Unmarshal(body, &members) // what is no JSON has neither
	return reply{res.StatusCode, string(body), res.Header.Get("X-Gatepost-Decision"), members.Detail, members.Token}, nil
}

func (c *client) send(ctx context.Context, method, url, bearer string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	return res, nil
}

// stream is what was seen of a run.
type stream struct {
	status     int
	events     int
	afterwards int           // events that came when the token had expired
	first      time.Duration // until the first event
	completed  bool
}

// listen starts a run and reads its events to the end. A token that expires on
// the way does not end it.
func (c *client) listen(ctx context.Context, url, bearer string, expires time.Time) (stream, error) {
	began := time.Now()
	res, err := c.send(ctx, http.MethodPost, url, bearer)
	if err != nil {
		return stream{}, err
	}
	defer res.Body.Close()
	seen := stream{status: res.StatusCode}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		switch lines.Text() {
		case "event: RunContent":
			if seen.events++; seen.events == 1 {
				seen.first = time.Since(began)
			}
			if time.Now().After(expires) {
				seen.afterwards++
			}
		case "event: RunCompleted":
			seen.completed = true
		}
	}
	return seen, lines.Err()
}

// kidOf is the key id that a token names.
func kidOf(text string) string {
	read := unverified.Read(text)
	kid, _ := read.Header["kid"].(string)
	return kid
}

// expiryOf is when a token says that it expires.
func expiryOf(text string) time.Time {
	read := unverified.Read(text)
	at, _ := read.Date("exp")
	return at
}
