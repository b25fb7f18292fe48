package issuer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/filewatch"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/token"
)

// The values of the label result of gatepost_config_reloads_total.
const (
	reloadOK           = "ok"
	reloadUnreadable   = "unreadable"
	reloadInvalid      = "invalid"
	reloadTooShort     = "secret_too_short"
	reloadLooksLikeKey = "secret_looks_like_key"
	reloadOlder        = "older_revision"
)

// Load reads document and keys as of one moment and puts them into force as a
// whole. After an error the last good state stays in force. Run loads by itself;
// Load is for tests of a handler that does not run.
func (i *Issuer) Load() error {
	next, err := i.load()
	i.metrics.reloads.WithLabelValues(reloadResult(err)).Inc()
	if err != nil {
		return err
	}
	old := i.current.Load()
	i.remotes.Use(next.Sessions)
	i.put(next)
	i.health.SetLoaded(true)
	if old != nil && old.Name != next.Name {
		i.metrics.forget(old.Name)
	}
	if old != nil && old.asker != nil && old.asker != next.asker {
		old.asker.close()
	}
	i.uses.keep(next.KIDs)
	i.metrics.lastReload.Set(float64(i.config.Now().Unix()))
	signs := 0.0
	if next.Signer.CanSign() {
		signs = 1
	}
	i.metrics.canSign.Set(signs)
	i.log.Info("document and keys are in force", "issuer", next.Name, "revision", next.Revision,
		"signing_key", next.Signer.SigningKey, "kid", next.Signer.Key.KID, "grants", next.spec.Grants)
	for _, warning := range next.Warnings {
		i.log.Warn("document or key looks unintended", "issuer", next.Name, "detail", warning)
	}
	return nil
}

// put swaps in what is in force from now on. Whoever signs holds the lock to read:
// when put returns, and to everybody who sees next before, no token is signed with
// the key of before any more.
func (i *Issuer) put(next *site) {
	i.signing.Lock()
	defer i.signing.Unlock()
	i.current.Store(next)
}

// load builds a complete site from the files.
func (i *Issuer) load() (*site, error) {
	files, err := i.files.Read()
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	options := bundle.Options{Remotes: i.remotes, Now: i.config.Now(), MinRevision: i.config.MinRevision}
	before := i.current.Load()
	if before != nil {
		options.InForce = before.Facts
	}
	loaded, err := issuing.Load(i.source(files), options)
	if _, ok := errors.AsType[manifest.Errors](err); ok && !i.config.InPod() {
		err = fmt.Errorf("reading %s: %w", i.config.DocumentFile, err)
	}
	if err != nil {
		return nil, err
	}
	return newSite(loaded, before)
}

// source is the files as an issuer is loaded from them.
func (i *Issuer) source(files filewatch.Files) issuing.Source {
	if i.config.InPod() {
		return issuing.Files(files.Within(i.config.BundleDir))
	}
	var users []byte
	if i.config.UsersFile != "" {
		users = files[filepath.Clean(i.config.UsersFile)]
	}
	dir := filepath.Clean(i.config.KeysDir)
	return issuing.Directory(files[filepath.Clean(i.config.DocumentFile)], dir, files.Within(dir), users)
}

var errUnreadable = errors.New("reading document and keys")

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
	case errors.Is(err, bundle.ErrOlderRevision):
		return reloadOlder
	}
	return reloadInvalid
}

// follow reloads whenever the files change, until ctx ends.
func (i *Issuer) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.files.Changes():
		}
		if err := i.Load(); err != nil {
			i.logKept(err)
		}
	}
}

// logKept says why what was read is not in force, and what is instead.
func (i *Issuer) logKept(err error) {
	if i.current.Load() == nil {
		i.log.Error("nothing is in force yet: every request is answered 503", "error", err.Error())
		return
	}
	i.log.Error("reload refused: the last good document and keys stay in force", "error", err.Error())
}

// noteFetch counts a finished fetch of a remote key set.
func (i *Issuer) noteFetch(f token.Fetch) {
	for _, provider := range f.Providers {
		i.metrics.jwksFetches.WithLabelValues(provider, string(f.Result)).Inc()
	}
	f.Log(i.log)
}
