package catalog

import (
	"fmt"
)

// named returns the entries of a kind whose public names we make.
func (m *merger) named(k Kind) []*Entry {
	var entries []*Entry
	taken := make(map[string]string) // public name to owner
	for i, l := range m.listings {
		if l == nil {
			continue
		}
		b := m.backends[i]
		for n := range l.items[k] {
			it := &l.items[k][n]
			public := m.public(k, b.Slug, it.as)
			listed := public
			if owner, ok := taken[public]; ok {
				m.report(b, k, it.name, "", fmt.Sprintf("its public name %q is taken by %s", public, owner))
				listed = m.namer.bare(it.as) // where the backend stands alone
			} else {
				taken[public] = b.Name
				entries = append(entries, it.joint(k, b.Name, public))
				if m.full(k, b.Slug, it.as) != public {
					m.report(b, k, it.name, public, fmt.Sprintf("names have at most %d characters of letters, digits, _ . and -", m.namer.max))
				}
			}
			if was := it.before; was != nil {
				m.report(b, k, it.name, listed, fmt.Sprintf("its definition changed from %s to %s; to accept this one only, %s",
					was, it.digest, pinning(b.Name, m.key(b, k), it)))
			}
		}
	}
	return entries
}

// key is where the rules for a kind of a backend stand in its configuration.
func (m *merger) key(b Backend, k Kind) string { return m.rules[b.Name][k].key }

// public returns a name's public form.
func (m *merger) public(k Kind, slug, name string) string {
	if m.prefixes(k, slug, name) {
		return m.namer.prefixed(slug, name)
	}
	return m.namer.bare(name)
}

// full is what public would be without the rules for public names.
func (m *merger) full(k Kind, slug, name string) string {
	if m.prefixes(k, slug, name) {
		return slug + m.namer.separator + name
	}
	return name
}

// prefixes reports whether a name gets its backend's slug in front.
func (m *merger) prefixes(k Kind, slug, name string) bool {
	return m.conflicts == Prefix || m.sticky[named{k, m.namer.bare(name)}]
}

// settle decides which names get a prefix under Auto. A prefix can produce a
// name that the backend has, so this goes on until nothing is new. Names that
// nobody has any more are forgotten.
func (m *merger) settle() {
	for _, k := range []Kind{Tool, Prompt} {
		bares := make(map[string]bool)
		for again := true; again; {
			again = false
			taken := make(map[string]named) // public names to the bare names behind them
			for i, l := range m.listings {
				if l == nil {
					continue
				}
				for n := range l.items[k] {
					name := l.items[k][n].as
					bare := named{k, m.namer.bare(name)}
					bares[bare.name] = true
					public := m.public(k, m.backends[i].Slug, name)
					first, ok := taken[public]
					if !ok {
						taken[public] = bare
						continue
					}
					for _, c := range []named{first, bare} {
						if !m.sticky[c] {
							m.sticky[c], again = true, true
						}
					}
				}
			}
		}
		for c := range m.sticky {
			if c.kind == k && !bares[c.name] {
				delete(m.sticky, c)
			}
		}
	}
}
