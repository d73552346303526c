package catalog

// history remembers the definitions that a backend has listed, to notice when
// one changes under its name: what a client's user has agreed to is then no
// longer what is served.
type history struct {
	known   map[named]Digest
	before  map[named]Digest // of those that changed, the definition before
	changes int
}

// maxForgotten bounds the names that are remembered beside those listed now: a
// tool that goes and comes back as another one is noticed too.
const maxForgotten = 1000

// note compares a new listing with what was known, and marks what has changed
// since it was first seen.
func (h *history) note(l *listing) {
	if h.known == nil {
		h.known, h.before = make(map[named]Digest, len(l.digests)), make(map[named]Digest)
	}
	for n, digest := range l.digests {
		if was, ok := h.known[n]; ok && was != digest {
			h.before[n] = was
			h.changes++
		}
		h.known[n] = digest
	}
	for _, k := range []Kind{Tool, Prompt} {
		for i := range l.items[k] {
			if was, ok := h.before[named{k, l.items[k][i].name}]; ok {
				l.items[k][i].before = &was
			}
		}
	}
	if len(h.known) <= len(l.digests)+maxForgotten {
		return
	}
	for n := range h.known {
		if _, listed := l.digests[n]; !listed {
			delete(h.known, n)
			delete(h.before, n)
		}
	}
}
