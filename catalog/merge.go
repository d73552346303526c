package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/wire"
)

// merger builds snapshots out of what each backend lists. It is all that one
// snapshot has beyond the listings themselves, so that an identity with
// credentials of its own can have another one.
type merger struct {
	conflicts Conflicts
	namer     namer
	entries   []*Entry // of the gateway itself
	pager     pager
	backends  []Backend
	rules     map[string]*selectors // by name
	slugs     map[string]bool
	order     []int // of backends: who comes first gets a name under Priority

	listings []*listing // by index of the backend; nil: never listed
	views    []*View    // of each backend alone; nil: to be made, and kept here
	sticky   map[named]bool
	owners   map[named]int
	settled  bool // names are given without waiting for backends that come before
	reports  []Report
}

// named is a name among those of its kind.
type named struct {
	kind Kind
	name string
}

func newMerger(o Options, backends []Backend) *merger {
	m := &merger{
		conflicts: o.Conflicts, namer: namer{o.Separator, o.MaxNameLength}, pager: pager{size: o.page},
		backends: backends, rules: make(map[string]*selectors, len(backends)), slugs: make(map[string]bool, len(backends)),
		listings: make([]*listing, len(backends)), views: make([]*View, len(backends)),
		sticky: make(map[named]bool), owners: make(map[named]int),
	}
	for _, own := range o.Own {
		m.entries = append(m.entries, &Entry{Kind: Resource, Public: own.URI, Name: own.URI, Definition: own.Definition})
	}
	for i, b := range backends {
		m.rules[b.Name], m.slugs[b.Slug] = newSelectors(b.Selection), true
		m.order = append(m.order, i)
	}
	if m.conflicts == Priority {
		rank := func(i int) int {
			if at := slices.Index(o.Priority, backends[i].Name); at >= 0 {
				return at
			}
			return len(o.Priority)
		}
		slices.SortStableFunc(m.order, func(a, b int) int { return rank(a) - rank(b) })
	}
	return m
}

// snapshot builds the catalogue as it is now.
func (m *merger) snapshot() *Snapshot {
	m.reports = nil
	if m.conflicts == Auto {
		m.settle()
	}
	s := &Snapshot{all: m.all(), own: make(map[string]*View, len(m.backends))}
	for i, b := range m.backends {
		if m.views[i] == nil {
			m.views[i] = m.own(i)
		}
		s.own[b.Slug] = m.views[i]
	}
	for i, l := range m.listings {
		if l != nil && l.tasks {
			if s.tasks == nil {
				s.tasks = make(map[string]bool)
			}
			s.tasks[m.backends[i].Name] = true
		}
		if l != nil {
			s.reps = append(s.reps, l.reports...)
		}
	}
	s.reps = append(s.reps, m.reports...)
	return s
}

// all is the view of every backend.
func (m *merger) all() *View {
	v := &View{namer: m.namer, rules: m.rules, bare: m.bare(), missing: make(map[string]string)}
	providers := 0
	for i, l := range m.listings {
		if l == nil {
			v.missing[m.backends[i].Slug] = m.backends[i].Name
		}
		if l == nil || l.resources {
			providers++
			v.sole = m.backends[i].Name
		}
	}
	if providers != 1 {
		v.sole = ""
	}
	for _, k := range []Kind{Tool, Prompt} {
		v.sections[k] = newSection(k, m.pager, m.named(k))
	}
	for _, k := range []Kind{Resource, Template} {
		v.sections[k] = newSection(k, m.pager, m.located(k))
	}
	v.instructions = m.instructions()
	v.extras = eras(m.listings)
	return v
}

// own is the view of one backend under its own names.
func (m *merger) own(i int) *View {
	b, l := m.backends[i], m.listings[i]
	v := &View{namer: m.namer, rules: m.rules, alone: b.Name}
	if l == nil {
		v.missing = map[string]string{b.Slug: b.Name}
		l = &listing{}
	}
	for k := range kinds {
		entries := make([]*Entry, 0, len(l.items[k]))
		for n := range l.items[k] {
			it := &l.items[k][n]
			public := it.name
			if k == Tool || k == Prompt {
				public = m.namer.bare(it.as)
			}
			entries = append(entries, it.entry(k, b.Name, public))
		}
		v.sections[k] = newSection(k, pager{b.Slug, m.pager.size}, entries)
	}
	v.instructions = l.instructions
	v.extras = eras([]*listing{l})
	return v
}

// located returns the entries of a kind that are known by their URI. The first
// backend in the order of the configuration keeps one that several have.
func (m *merger) located(k Kind) []*Entry {
	var entries []*Entry
	taken := make(map[string]string)
	if k == Resource {
		for _, e := range m.entries {
			entries, taken[e.Name] = append(entries, e), ""
		}
	}
	for i, l := range m.listings {
		if l == nil {
			continue
		}
		b := m.backends[i]
		for n := range l.items[k] {
			it := &l.items[k][n]
			if owner, ok := taken[it.name]; ok {
				text := owner + " stands before it in the configuration and has the same URI"
				if owner == "" {
					text = "the URI is that of a resource of the gateway itself"
				}
				m.report(b, k, it.name, "", text)
				continue
			}
			taken[it.name] = b.Name
			entries = append(entries, it.joint(k, b.Name, it.name))
		}
	}
	return entries
}

func (m *merger) report(b Backend, k Kind, name, public, text string) {
	m.reports = append(m.reports, Report{Backend: b.Name, Kind: k, Name: shortened(name), Public: public, Text: text})
}

// instructions joins what the backends say about themselves.
func (m *merger) instructions() string {
	var b strings.Builder
	for i, l := range m.listings {
		if l == nil || l.instructions == "" {
			continue
		}
		if b.Len() > 4*maxInstructions {
			break
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(m.backends[i].Name)
		if m.conflicts == Prefix {
			fmt.Fprintf(&b, " (names begin with %s%s)", m.backends[i].Slug, m.namer.separator)
		}
		b.WriteString(":\n" + l.instructions)
	}
	return b.String()
}

// joint returns the item's entry in the view of all backends. It is made again
// only when its name has changed, so that a refresh of one backend costs little
// for the others.
func (it *item) joint(k Kind, owner, public string) *Entry {
	if it.last == nil || it.last.Public != public {
		it.last = it.entry(k, owner, public)
	}
	return it.last
}

// entry makes the public entry of a definition: the same bytes, but for the
// name.
func (it *item) entry(k Kind, owner, public string) *Entry {
	e := &Entry{Kind: k, Backend: owner, Public: public, Name: it.name, Definition: it.raw, Params: it.params, match: it.match}
	if public != it.name {
		e.Definition = wire.Splice(nil, it.raw, wire.Edit{Span: it.nameAt, New: wire.Quote(nil, public)})
	}
	return e
}
