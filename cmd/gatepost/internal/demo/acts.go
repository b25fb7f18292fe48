package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/internal/bundle"
)

// play is one performance.
type play struct {
	*stage
	*narrator

	client *client
	token  string
}

// errStopped ends a play whose next act has nothing to go on with.
var errStopped = errors.New("the demo cannot go on: this step should have given a token")

// acts plays all of them. It goes on after a step that came out wrong.
func (p *play) acts(ctx context.Context) error {
	p.tell("The agent is behind the sidecar at http://" + p.guarded + ", the issuer at " + p.issuer + ".")
	for _, act := range []func(context.Context) error{
		p.withoutToken, p.withToken, p.streaming, p.refreshing, p.beyondTheRules, p.rotating, p.revoking,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// agent asks the guarded agent.
func (p *play) agent(ctx context.Context, method, path string) (reply, error) {
	return p.client.ask(ctx, method, "http://"+p.guarded+path, p.token)
}

// issued asks the issuer for a token and takes it.
func (p *play) issued(ctx context.Context, method, path string) error {
	got, err := p.client.ask(ctx, method, p.issuer+path, p.session)
	if err != nil {
		return err
	}
	p.step(method+" "+path+"   with the page's session", got.said(), `200 {"token":`)
	if got.token == "" {
		return errStopped
	}
	p.token = got.token
	return nil
}

func (p *play) withoutToken(ctx context.Context) error {
	p.begin("Without a token nobody reaches the agent")
	got, err := p.agent(ctx, http.MethodGet, "/agents/a1")
	if err == nil {
		p.step("GET /agents/a1", got.said(), `401 {"detail":"Not authenticated"`)
	}
	return err
}

func (p *play) withToken(ctx context.Context) error {
	p.begin("The page gets a token for its session, and the agent is told who asks")
	if err := p.issued(ctx, http.MethodPost, "/api/get-token"); err != nil {
		return err
	}
	got, err := p.agent(ctx, http.MethodGet, "/agents/a1")
	if err == nil {
		p.step("GET /agents/a1   with the token", got.said(), `"you_are":"user-7"`)
	}
	return err
}

func (p *play) streaming(ctx context.Context) error {
	p.begin(fmt.Sprintf("A run streams on when its token expires: the token lives %s, the run %d s", lifetime, events))
	seen, err := p.client.listen(ctx, "http://"+p.guarded+"/agents/a1/runs", p.token, expiryOf(p.token))
	if err != nil {
		return err
	}
	said := fmt.Sprintf("%d, %d events, the first after %d ms", seen.status, seen.events, seen.first.Milliseconds())
	switch {
	case seen.completed && seen.afterwards > 0:
		said += ", some of them after the token had expired; completed"
	case seen.completed:
		said += ", none after the token had expired; completed"
	}
	p.step("POST /agents/a1/runs", said, "some of them after the token had expired; completed")
	return nil
}

func (p *play) refreshing(ctx context.Context) error {
	p.begin("The next call is refused in words that clients know, and a fresh token mends it")
	select { // the wait is none unless the stream broke off early
	case <-ctx.Done():
	case <-time.After(time.Until(expiryOf(p.token))):
	}
	got, err := p.agent(ctx, http.MethodGet, "/agents/a1")
	if err != nil {
		return err
	}
	p.step("GET /agents/a1   with the old token", got.said(), `401 {"detail":"Token has expired"`)
	if err := p.issued(ctx, http.MethodGet, "/api/refresh-token"); err != nil {
		return err
	}
	got, err = p.agent(ctx, http.MethodGet, "/agents/a1")
	if err == nil {
		p.step("GET /agents/a1   with the fresh one", got.said(), "200 {")
	}
	return err
}

func (p *play) beyondTheRules(ctx context.Context) error {
	p.begin("A teacher is no admin: the policy's rules decide")
	got, err := p.agent(ctx, http.MethodPost, "/admin/reset")
	if err == nil {
		p.step("POST /admin/reset", got.said(), `403 {"detail":"Insufficient permissions"`)
	}
	return err
}

func (p *play) rotating(ctx context.Context) error {
	p.begin("The signing key is replaced while clients call: publish, switch, and nobody is refused")
	next, err := p.keys.make()
	if err != nil {
		return err
	}
	old := p.current
	load := p.beginLoad(ctx)
	defer load.end()
	load.runFor(ctx, 500*time.Millisecond)
	if err := p.keys.verifyWith(old, next); err != nil {
		return err
	}
	if err := p.awaitKeys(ctx, old.KID, next.KID); err != nil {
		return err
	}
	p.step("publish "+next.KID, "the sidecar says that it knows "+old.KID+" and "+next.KID, next.KID)
	if err := p.keys.signWith(next, old); err != nil {
		return err
	}
	p.current = next
	load.until(ctx, func(t tally) bool { return t.byKey[next.KID] >= 50 })
	t := load.end()
	p.step(fmt.Sprintf("%d calls meanwhile", t.calls), fmt.Sprintf("%d by %s, %d by %s, %d refused",
		t.byKey[old.KID], old.KID, t.byKey[next.KID], next.KID, t.refused), ", 0 refused")
	if t.byKey[old.KID] == 0 || t.byKey[next.KID] == 0 {
		p.step("both keys were used", "one of them was not", "yes")
	}
	return load.err()
}

func (p *play) revoking(ctx context.Context) error {
	p.begin("A key that leaked is revoked: its tokens are refused at once, those of the next are not")
	if err := p.issued(ctx, http.MethodPost, "/api/get-token"); err != nil {
		return err
	}
	leaked := p.current
	next, err := p.keys.make()
	if err != nil {
		return err
	}
	if err := errors.Join(p.keys.verifyWith(next), p.keys.signWith(next)); err != nil {
		return err
	}
	p.current = next
	if err := p.awaitKeys(ctx, next.KID); err != nil {
		return err
	}
	got, err := p.agent(ctx, http.MethodGet, "/agents/a1")
	if err != nil {
		return err
	}
	p.step("GET /agents/a1   with a token of "+leaked.KID, got.said(), `401 {"detail":"Invalid token"`)
	if err := p.explained(ctx, got.decision); err != nil {
		return err
	}
	if err := p.awaitSigner(ctx, next.KID); err != nil {
		return err
	}
	if got, err = p.agent(ctx, http.MethodGet, "/agents/a1"); err == nil {
		p.step("GET /agents/a1   with a token of "+next.KID, got.said(), "200 {")
	}
	return err
}

// explained asks the sidecar why, as gatepost explain does.
func (p *play) explained(ctx context.Context, id string) error {
	var found []explain.Explanation
	err := p.await(ctx, "the decision is kept", func() (bool, error) {
		var err error
		found, err = explain.Ask(ctx, "http://"+p.admin, id)
		if errors.Is(err, explain.ErrForgotten) {
			return false, nil // it is written down when the answer has been sent
		}
		return true, err
	})
	if err == nil {
		p.step("gatepost explain "+id, string(found[0].Reason)+": "+found[0].Means, "unknown_key: ")
	}
	return err
}

// awaitKeys waits until the sidecar says that it has loaded just these keys.
func (p *play) awaitKeys(ctx context.Context, kids ...string) error {
	slices.Sort(kids)
	return p.await(ctx, "the sidecar knows "+strings.Join(kids, " and "), func() (bool, error) {
		got, err := p.client.ask(ctx, http.MethodGet, "http://"+p.admin+"/state", "")
		if err != nil {
			return false, err
		}
		state, err := bundle.ParseState([]byte(got.body))
		return slices.Equal(state.KIDs[signingKey], kids), err
	})
}

// awaitSigner waits until the issuer signs with a key, and takes the token.
func (p *play) awaitSigner(ctx context.Context, kid string) error {
	return p.await(ctx, "the issuer signs with "+kid, func() (bool, error) {
		got, err := p.client.ask(ctx, http.MethodPost, p.issuer+"/api/get-token", p.session)
		if err != nil || kidOf(got.token) != kid {
			return false, err
		}
		p.token = got.token
		return true, nil
	})
}

// await asks again and again, for twenty seconds at most.
func (*play) await(ctx context.Context, what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting until %s: it is not so after 20 seconds", what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
