package sidecar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/filewatch"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/token"
)

// The values of the label result of gatepost_config_reloads_total.
const (
	reloadOK           = "ok"
	reloadUnreadable   = "unreadable"
	reloadInvalid      = "invalid"
	reloadNotSupported = "not_supported_yet"
	reloadTooShort     = "secret_too_short"
	reloadLooksLikeKey = "secret_looks_like_key"
	reloadOlder        = "older_revision"
)

// reload reads policy and keys as of one moment and puts them into force as a
// whole. After an error the last good site stays in force.
func (s *Sidecar) reload() error {
	next, err := s.load()
	s.metrics.reloads.WithLabelValues(reloadResult(err)).Inc()
	if err != nil {
		return err
	}
	now := time.Now()
	old := s.current.Load()
	s.remotes.Use(next.Verifier)
	s.ledger.add(loadedKeys(next, now))
	s.current.Store(next)
	if old != nil {
		old.recall.end() // streams hold their site to their end
	}
	s.health.SetLoaded(true)
	s.open.withdraw(newLoaded(next, now), now)
	s.noteKeys(now)
	s.metrics.forget(old, next)
	s.metrics.lastReload.Set(float64(now.Unix()))
	s.log.Info("policy and keys are in force", "policy", next.Name, "revision", next.Revision, "mode", next.mode(), "keys", keyCounts(next, now))
	for _, warning := range next.Warnings {
		s.log.Warn("policy or key looks unintended", "policy", next.Name, "detail", warning)
	}
	return nil
}

// load builds a complete site from the files.
func (s *Sidecar) load() (*site, error) {
	files, err := s.files.Read()
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	doc, err := manifest.Parse(files[s.config.PolicyFile])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.config.PolicyFile, err)
	}
	keys, err := s.keys(files)
	if err != nil {
		return nil, err
	}
	options := bundle.Options{Probes: s.config.Probes, Remotes: s.remotes, Now: time.Now(), MinRevision: s.config.MinRevision}
	if old := s.current.Load(); old != nil {
		options.InForce = old.Facts
	}
	snapshot, err := bundle.Load(doc, keys, options)
	if err != nil {
		return nil, err
	}
	return newSite(snapshot, s.logKey)
}

// keys are keys.json of a mounted bundle, or the files of a directory.
func (s *Sidecar) keys(files filewatch.Files) (bundle.Keys, error) {
	if s.config.InPod() {
		keys, err := bundle.File(files[filepath.Clean(s.config.KeysFile)])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.config.KeysFile, err)
		}
		return keys, nil
	}
	dir := filepath.Clean(s.config.KeysDir)
	return bundle.Directory(dir, files.Within(dir)), nil
}

var errUnreadable = errors.New("reading policy and keys")

// reloadResult puts the outcome of a reload into a closed set.
func reloadResult(err error) string {
	switch {
	case err == nil:
		return reloadOK
	case errors.Is(err, errUnreadable):
		return reloadUnreadable
	case errors.Is(err, token.ErrSecretTooShort):
		return reloadTooShort
	case errors.Is(err, token.ErrSecretLooksLikeKey):
		return reloadLooksLikeKey
	case errors.Is(err, bundle.ErrNotSupportedYet):
		return reloadNotSupported
	case errors.Is(err, bundle.ErrOlderRevision):
		return reloadOlder
	}
	return reloadInvalid
}

// follow reloads whenever the files change, until ctx ends.
func (s *Sidecar) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.files.Changes():
		}
		if err := s.reload(); err != nil {
			s.logKept(err)
		}
	}
}

// logKept says why what was read is not in force, and what is instead.
func (s *Sidecar) logKept(err error) {
	if s.current.Load() == nil {
		s.log.Error("no policy is in force yet: every request is answered 503", "error", err.Error())
		return
	}
	s.log.Error("reload refused: the last good policy and keys stay in force", "error", err.Error())
}

// loadedKeys are the key ids of every provider.
func loadedKeys(in *site, now time.Time) map[string][]string {
	loaded := map[string][]string{}
	for _, p := range in.Verifier.State(now) {
		loaded[p.Name] = p.KIDs
	}
	return loaded
}

// keyCounts says how many keys of each provider are in force, for the log.
func keyCounts(in *site, now time.Time) map[string]int {
	counts := map[string]int{}
	for _, p := range in.Verifier.State(now) {
		counts[p.Name] = p.Keys
	}
	return counts
}

// noteKeys tells the metrics which keys are loaded.
func (s *Sidecar) noteKeys(now time.Time) {
	in := s.current.Load()
	if in == nil {
		return
	}
	for _, p := range in.Verifier.State(now) {
		s.metrics.keysLoaded.WithLabelValues(p.Name).Set(float64(p.Keys))
		if p.Remote && !p.LastSuccess.IsZero() {
			s.metrics.jwksSuccess.WithLabelValues(p.Name).Set(float64(p.LastSuccess.Unix()))
		}
	}
	s.ledger.keep(loadedKeys(in, now))
}

// noteFetch counts a finished fetch of a remote key set.
func (s *Sidecar) noteFetch(f token.Fetch) {
	for _, provider := range f.Providers {
		s.metrics.jwksFetches.WithLabelValues(provider, string(f.Result)).Inc()
	}
	if in := s.current.Load(); in != nil {
		in.recall.forget()
	}
	s.noteKeys(f.At)
	if in := s.current.Load(); in != nil && f.Err == nil {
		s.open.withdraw(newLoaded(in, f.At), f.At)
	}
	f.Log(s.log)
}

// noteKept says what became of a key set that is kept across restarts.
func (s *Sidecar) noteKept(k token.Kept) {
	if k.Err != nil {
		s.log.Warn("kept key set is not used", "providers", k.Providers, "uri", k.URI, "error", k.Err.Error())
		return
	}
	s.log.Info("kept key set is in force until the next fetch", "providers", k.Providers, "uri", k.URI, "fetched", k.At, "keys", k.Keys)
}
