package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"gatepost.dev/gatepost/issuer"
	"gatepost.dev/gatepost/sidecar"
	"gatepost.dev/gatepost/token"
)

// lifetime is how long the tokens live: the shortest that an issuer makes.
const lifetime = 10 * time.Second

// sessionIssuer signs the sessions of the demo's front end.
const sessionIssuer = "https://app.example"

// The documents. {issuer} is where the issuer listens.
const (
	policyText = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: demo}
spec:
  jwt:
    providers:
    - name: issuer
      issuers: ["{issuer}"]
      audiences: [chat]
      algorithms: [ES256]
      clockSkew: 0s
      signingKeyRef: {name: agent-jwt}
  authorization:
    rules:
    - {name: read, operation: {methods: [GET], paths: [{type: Prefix, value: /agents}]}}
    - {name: run, operation: {methods: [POST], paths: [{type: Template, value: "/agents/{id}/runs"}]}}
    - name: admins
      operation: {paths: [{type: Prefix, value: /admin}]}
      principal: {claims: [{name: role, values: [admin]}]}
`
	issuerText = `apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: demo}
spec:
  issuer: "{issuer}"
  signingKeyRef: {name: agent-jwt}
  tokenLifetime: 10s
  audiences: [chat]
  grants: [Session]
  session:
    providers:
    - {name: app, issuers: ["https://app.example"], algorithms: [HS256], secretRef: {name: session, keys: [current]}}
  claims: [{name: role, from: role}]
  rateLimit: {perIP: 1000/s}
`
)

// stage is everything that runs.
type stage struct {
	keys    keyFiles
	current token.Key // signs
	session string    // of the front end's user

	guarded, admin string // of the sidecar, host:port
	issuer         string // http://host:port

	end   context.CancelFunc
	ended []chan error
}

// start writes the files and starts agent, issuer and sidecar.
func start(ctx context.Context, dir string, random io.Reader) (*stage, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stage{keys: keyFiles{dir: dir, random: random}, end: cancel}
	if err := s.startAll(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) startAll(ctx context.Context) error {
	public, err := listen(ctx)
	if err != nil {
		return err
	}
	s.issuer = "http://" + public.Addr().String()
	if err := s.write(); err != nil {
		return errors.Join(err, public.Close())
	}
	agent, err := s.startAgent(ctx)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	if err := s.startIssuer(ctx, public); err != nil {
		return err
	}
	return s.startSidecar(ctx, agent)
}

// listen takes a free port of loopback.
func listen(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("taking a port: %w", err)
	}
	return l, nil
}

// write writes documents and keys, and signs the session.
func (s *stage) write() error {
	var err error
	if s.current, err = s.keys.make(); err != nil {
		return err
	}
	secret, err := token.Generate("HS256", s.keys.random)
	if err != nil {
		return err
	}
	now := time.Now()
	s.session, err = token.Mint(secret, nil, map[string]any{
		"iss": sessionIssuer, "sub": "user-7", "role": "teacher", "iat": now.Unix(), "exp": now.Add(8 * time.Hour).Unix(),
	})
	placed := strings.NewReplacer("{issuer}", s.issuer)
	return errors.Join(err,
		s.keys.write("policy.yaml", []byte(placed.Replace(policyText))),
		s.keys.write("issuer.yaml", []byte(placed.Replace(issuerText))),
		s.keys.write(filepath.Join("sign", "session", "current"), secret.K),
		s.keys.signWith(s.current),
		s.keys.verifyWith(s.current),
	)
}

// startAgent serves the agent and returns its address.
func (s *stage) startAgent(ctx context.Context) (string, error) {
	l, err := listen(ctx)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: newAgent(), ReadHeaderTimeout: 10 * time.Second}
	s.run(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return l.Addr().String(), nil
}

func (s *stage) startIssuer(ctx context.Context, public net.Listener) error {
	heard := newHearing()
	made, err := issuer.New(issuer.Config{
		DocumentFile: filepath.Join(s.keys.dir, "issuer.yaml"), KeysDir: filepath.Join(s.keys.dir, "sign"),
		Listener: public, Admin: "127.0.0.1:0", DrainTimeout: time.Second, Log: heard.logger(), Random: s.keys.random,
	})
	if err != nil {
		return errors.Join(err, public.Close())
	}
	ended := s.run(func() error { return made.Run(ctx) })
	_, err = heard.await(ctx, "the issuer", ended)
	return err
}

func (s *stage) startSidecar(ctx context.Context, agent string) error {
	heard := newHearing()
	made, err := sidecar.New(sidecar.Config{
		PolicyFile: filepath.Join(s.keys.dir, "policy.yaml"), KeysDir: filepath.Join(s.keys.dir, "verify"),
		Listen: "127.0.0.1:0", Upstream: agent, Admin: "127.0.0.1:0", DrainTimeout: time.Second, Log: heard.logger(),
	})
	if err != nil {
		return err
	}
	ended := s.run(func() error { return made.Run(ctx) })
	at, err := heard.await(ctx, "the sidecar", ended)
	s.guarded, s.admin = at.guarded, at.admin
	return err
}

// run runs one part until it ends; close waits for it.
func (s *stage) run(part func() error) <-chan error {
	ended := make(chan error, 1)
	s.ended = append(s.ended, ended)
	go func() {
		defer close(ended)
		if err := part(); err != nil {
			ended <- err
		}
	}()
	return ended
}

// close ends all parts and waits for them.
func (s *stage) close() {
	s.end()
	for _, ended := range s.ended {
		for range ended { // what they end with no longer matters
			continue
		}
	}
}

// directions say how to go on by hand.
func (s *stage) directions() string {
	return fmt.Sprintf(`
It keeps running; Ctrl-C ends it. For another shell:

  session='%s'
  token=$(curl -s -X POST -H "Authorization: Bearer $session" %s/api/get-token | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -i -H "Authorization: Bearer $token" http://%s/agents/a1
  gatepost explain --last 5 --admin http://%s`, s.session, s.issuer, s.guarded, s.admin)
}
