package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// claim is an item and the public name that it would have.
type claim struct {
	backend int
	it      *item
	public  string
	held    bool // back, until it is known who comes first
}

// claims returns what the backends want to be listed under which name, those who
// come first in front, and the backends that want each name.
func (m *merger) claims(k Kind) (list []claim, wanted map[string][]string) {
	wanted = make(map[string][]string)
	held := false
	for _, i := range m.order {
		l := m.listings[i]
		if l == nil {
			held = m.conflicts == Priority && !m.settled
			continue
		}
		b := m.backends[i]
		for n := range l.items[k] {
			it := &l.items[k][n]
			c := claim{i, it, m.public(k, b.Slug, it.as), held}
			list = append(list, c)
			if who := wanted[c.public]; len(who) == 0 || who[len(who)-1] != b.Name {
				wanted[c.public] = append(who, b.Name)
			}
		}
	}
	return list, wanted
}

// named returns the entries of a kind whose public names we make.
//
// Under every strategy a name stays with the backend that was listed under it,
// as long as anybody wants it: a client that knows the name from then must not
// reach another backend with it. Such a client gets an error instead.
func (m *merger) named(k Kind) []*Entry {
	var entries []*Entry
	claims, wanted := m.claims(k)
	taken := make(map[string]string) // public name to owner
	for _, c := range claims {
		if c.held {
			continue
		}
		b := m.backends[c.backend]
		listed, text := c.public, ""
		owner, owned := m.owners[named{k, c.public}]
		switch first, ok := taken[c.public]; {
		case m.conflicts == Manual && len(wanted[c.public]) > 1:
			text = fmt.Sprintf("%s: %s or %s", contenders(wanted[c.public], b.Name),
				m.renaming(b, k, c.it), ruleLine(m.key(b, k), "deny", "["+word(Literal(c.it.name))+"]"))
		case ok && first != b.Name:
			text = fmt.Sprintf("%s comes before it and has the same name; for both, %s", first, m.renaming(b, k, c.it))
		case owned && owner != c.backend:
			text = fmt.Sprintf("clients know %q as that of %s, and a name does not change hands while they may: restart the gateway, or %s",
				c.public, m.backends[owner].Name, m.renaming(b, k, c.it))
		case ok:
			text = fmt.Sprintf("its public name %q is taken by %s", c.public, first)
		default:
			taken[c.public] = b.Name
			m.owners[named{k, c.public}] = c.backend
			entries = append(entries, c.it.joint(k, b.Name, c.public))
			if m.full(k, b.Slug, c.it.as) != c.public {
				m.report(b, k, c.it.name, c.public, fmt.Sprintf("names have at most %d characters of letters, digits, _ . and -", m.namer.max))
			}
		}
		if text != "" {
			m.report(b, k, c.it.name, "", text)
			listed = m.namer.bare(c.it.as) // where the backend stands alone
		}
		if was := c.it.before; was != nil {
			m.report(b, k, c.it.name, listed, fmt.Sprintf("its definition changed from %s to %s; to accept this one only, %s",
				was, c.it.digest, pinning(b.Name, m.key(b, k), c.it)))
		}
	}
	for n := range m.owners {
		if n.kind == k && len(wanted[n.name]) == 0 {
			delete(m.owners, n)
		}
	}
	return entries
}

// key is where the rules for a kind of a backend stand in its configuration.
func (m *merger) key(b Backend, k Kind) string { return m.rules[b.Name][k].key }

// renaming tells how to give an item a name of its own.
func (m *merger) renaming(b Backend, k Kind, it *item) string {
	return writeIn(b.Name) + ruleLine(m.key(b, k), "rename", "{"+word(it.name)+": "+word(m.namer.prefixed(b.Slug, it.as))+"}")
}

// contenders says which backends want the name that one of them wants.
func contenders(names []string, one string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == one })
	if len(names) == 1 {
		return names[0] + " has the name too, so neither is listed"
	}
	return strings.Join(names, " and ") + " have the name too, so none is listed"
}

// bare reports whether no name has a prefix.
func (m *merger) bare() bool { return m.conflicts == Priority || m.conflicts == Manual }

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

// prefixes reports whether a name gets its backend's slug in front. Under Auto
// one that looks as if it had the slug of another backend does, whether or not
// that backend has such a name: it could not keep it when the other comes.
func (m *merger) prefixes(k Kind, slug, name string) bool {
	switch {
	case m.conflicts == Prefix:
		return true
	case m.bare():
		return false
	}
	bare := m.namer.bare(name)
	other, _, _ := strings.Cut(bare, m.namer.separator)
	return m.sticky[named{k, bare}] || other != slug && other != bare && m.slugs[other]
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
