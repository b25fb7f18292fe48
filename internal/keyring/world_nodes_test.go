package keyring

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// advance lets time pass: bundles arrive at pods and keys at signers, each at
// its moment, and signers sign all the while.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for w.problem == "" {
		next := end
		for _, p := range w.pods {
			if p.next != nil && p.at.Before(next) {
				next = p.at
			}
		}
		for _, s := range w.signers {
			if w.rereads(s) && s.reads.Before(next) {
				next = s.reads
			}
		}
		if next.After(w.now) {
			w.now = next
		}
		w.sign()
		w.arrive()
		w.accept()
		if !w.now.Before(end) {
			return
		}
	}
}

// rereads reports whether the signer will look for another key by itself.
func (w *world) rereads(s *signer) bool {
	return (!s.stubborn || s.mat < 0) && w.offered() != s.mat
}

// offered is the key that a signer finds when it looks; -1: none.
func (w *world) offered() int {
	value := w.export.value.Current
	if w.spec.Imported {
		value = w.imports.Current
	}
	if len(value) == 0 {
		return -1
	}
	return w.mat(value)
}

// arrive brings what is due to pods and signers.
func (w *world) arrive() {
	for _, p := range w.pods {
		if p.next != nil && !w.now.Before(p.at) {
			f := p.next
			p.next = nil
			w.load(p, f)
		}
	}
	for _, s := range w.signers {
		if w.rereads(s) && !w.now.Before(s.reads) {
			w.read(s)
		}
	}
}

// read gives the signer what is offered, and settles when it looks again.
func (w *world) read(s *signer) {
	if s.mat != w.offered() {
		s.mat, s.kid = w.offered(), w.export.value.CurrentKID
		w.note("%s signs with %d %s", s.name, s.mat, s.kid)
	}
	lag := signerLag
	if !w.spec.External {
		lag = 30 * time.Minute // an issuer acknowledges, so it may be late
	}
	if w.calm {
		lag = 0
	}
	s.reads = w.now.Add(w.upTo(lag))
}

// load puts a bundle into force in a pod, unless the pod has a later one.
func (w *world) load(p *pod, f *file) {
	old := p.file
	if old != nil && f.revision < old.revision {
		return
	}
	p.file = f
	w.note("%s of bundle %d loads revision %d, generation %d: %v %v", p.name, p.bundle, f.revision, f.generation, f.kids, f.mats)
	for m, t := range w.tokens {
		if t.excused || !w.now.Before(t.expires) || f.has(m) {
			continue
		}
		if !t.lenient {
			w.violate("%s loads a bundle without key %d, whose tokens are valid", p.name, m)
		}
	}
	for _, kid := range f.kids {
		if p.dropped[kid] || old != nil && !old.hasKID(kid) && w.gone[place{p.bundle, kid}] && !w.restored {
			w.violate("%s accepts key %s again", p.name, kid)
		}
	}
	if old == nil {
		return
	}
	for _, kid := range old.kids {
		if !f.hasKID(kid) {
			p.dropped[kid] = true
		}
	}
}

// sign mints a token with what each signer has, and shows it to every pod.
func (w *world) sign() {
	for _, s := range w.signers {
		if s.mat < 0 {
			continue
		}
		t := &w.tokens[s.mat]
		t.expires = w.now.Add(lifetime)
		w.figures.tokens++
		for _, p := range w.pods {
			if p.file != nil && !p.file.has(s.mat) && !t.lenient && !t.excused {
				w.violate("%s refuses a fresh token of key %d", p.name, s.mat)
			}
		}
	}
}

// accept sends the traffic of each signer to one pod.
func (w *world) accept() {
	if len(w.pods) == 0 {
		return
	}
	for _, s := range w.signers {
		p := w.pods[w.rng.IntN(len(w.pods))]
		if i := slices.Index(filesMats(p.file), s.mat); i >= 0 {
			p.accepted[p.file.kids[i]] = w.now
		}
	}
}

func filesMats(f *file) []int {
	if f == nil {
		return nil
	}
	return f.mats
}

// startPod starts a pod: it mounts its bundle as it is.
func (w *world) startPod() {
	if w.restored && slices.ContainsFunc(w.bundles, func(b object[*file]) bool {
		return slices.ContainsFunc(w.pods, func(p *pod) bool { return p.file != nil && b.value != nil && p.file.generation > b.value.generation })
	}) {
		return // nothing can keep it from mounting what was restored
	}
	w.made++
	p := &pod{name: fmt.Sprintf("pod-%d", w.made), bundle: w.rng.IntN(len(w.bundles)), accepted: map[string]time.Time{}, dropped: map[string]bool{}, slow: w.spec.WaitForVerifiers && w.chance(20)}
	w.pods = append(w.pods, p)
	if f := w.bundles[p.bundle].value; f != nil {
		w.load(p, f)
	}
}

// deliver sends a bundle that was written on its way to its pods. A pod to which
// another is on its way gets this one instead.
func (w *world) deliver(i int) {
	for _, p := range w.pods {
		if p.bundle != i {
			continue
		}
		if p.next == nil {
			p.at = w.now.Add(w.mountTime(p))
		}
		p.next = w.bundles[i].value
	}
}

func (w *world) mountTime(p *pod) time.Duration {
	switch {
	case w.calm:
		return 0
	case p.slow:
		return w.upTo(2 * time.Hour)
	case w.chance(70): // it was nudged
		return w.upTo(time.Second)
	}
	return w.upTo(mountDelay)
}

// poll asks every pod that answers. A pod that is gone without having answered
// lately, or a time without anybody looking, leaves a doubt.
func (w *world) poll() {
	l := &w.leader
	if w.now.Sub(l.looked) > staleness && l.looked.Before(w.away) || w.spec.WaitForVerifiers && (l.nobody || len(w.pods) == 0) {
		l.doubt = w.now.Add(w.error)
	}
	l.nobody = len(w.pods) == 0
	l.looked = w.now
	for p, a := range l.answers {
		if !slices.Contains(w.pods, p) {
			delete(l.answers, p)
			if w.now.Sub(a.at) > staleness {
				l.doubt = w.now.Add(w.error)
			}
		}
	}
	for _, p := range w.pods {
		if !w.restored && (w.now.Before(p.mute) || w.chance(5) && !w.calm) {
			if _, known := l.answers[p]; !known {
				l.answers[p] = answer{}
			}
			continue
		}
		l.answers[p] = answer{w.now, p.file}
		for kid, at := range p.accepted {
			if at.After(l.accepted[kid]) {
				l.accepted[kid] = at
			}
		}
	}
}

// verifiers are what the controller knows of the pods.
func (w *world) verifiers(state *State) []Verifier {
	list := make([]Verifier, len(w.pods))
	for i, p := range w.pods {
		a := w.leader.answers[p]
		v := Verifier{Name: p.name, Silent: w.now.Sub(a.at) > staleness && w.broken != silenceIgnored}
		switch {
		case w.broken == acksInvented && state != nil:
			v.Acked = state.Generation
		case a.file == nil:
		case w.kind.byKID && state != nil:
			v.Acked = state.Acknowledged(a.file.generation, a.file.kids)
		default:
			v.Acked = a.file.generation
		}
		list[i] = v
	}
	return list
}

// accepted are the acceptances that the controller knows of.
func (w *world) accepted(state *State) map[string]time.Time {
	if !w.kind.observed {
		return nil
	}
	seen := maps.Clone(w.leader.accepted)
	if state == nil {
		return seen
	}
	for _, k := range state.Keys {
		switch {
		case w.broken == useIgnored && k.Phase == Retiring:
			delete(seen, k.KID)
		case w.broken == successorImagined && k.Phase == Active:
			seen[k.KID] = k.Activated
		}
	}
	return seen
}
