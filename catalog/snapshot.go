package catalog

import (
	"bytes"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/wire"
)

// Entry is one tool, prompt, resource or resource template. It is immutable.
type Entry struct {
	Kind       Kind
	Backend    string // its owner's name in the configuration
	Public     string // the name or URI that clients use
	Name       string // the name or URI that the backend uses
	Definition []byte // as listed; nil when the entry was not listed but inferred
	// Params are the Mcp-Param headers of a tool, from the x-mcp-header
	// annotations of its input schema.
	Params []wire.ParamHeader

	match matcher
}

// Snapshot is the whole catalogue at one moment. It is immutable.
type Snapshot struct {
	all   *View
	own   map[string]*View // by slug
	tasks map[string]bool  // by the backend's name: it answers with tasks
	reps  []Report
}

// All returns what is listed where all backends are served together.
func (s *Snapshot) All() *View { return s.all }

// Backend returns what is listed where the backend with that slug is served
// alone, under its own names.
func (s *Snapshot) Backend(slug string) (*View, bool) {
	v, ok := s.own[slug]
	return v, ok
}

// Tool returns the tool with a public name, as All().Find does.
func (s *Snapshot) Tool(name string) (*Entry, bool) { return s.all.Find(Tool, []byte(name)) }

// Reports returns what is worth telling about entries: those left out, and
// those listed under another name than expected.
func (s *Snapshot) Reports() []Report { return slices.Clone(s.reps) }

// View is the catalogue as one endpoint shows it. It is immutable.
type View struct {
	sections     [kinds]section
	instructions string
	extras       [2][]byte // capabilities of elder and of later backends
	namer        namer
	rules        map[string]*selectors // by name of the backend
	bare         bool                  // names have no prefix that tells whose they are
	sole         string                // the one backend that has resources, "" when there are several
	alone        string                // the backend of an endpoint that serves one
	missing      map[string]string     // slugs to names of backends that were never listed
}

// section is the entries of one kind.
type section struct {
	byName map[string]*Entry
	sorted []*Entry // by public name
	pager  pager
	first  Page
}

// Instructions returns what the backends tell clients about themselves.
func (v *View) Instructions() string { return v.instructions }

// Len returns the number of entries of a kind.
func (v *View) Len(k Kind) int { return len(v.sections[k].sorted) }

// Entries returns the entries of a kind, sorted by public name. The slice is
// shared and must not be changed.
func (v *View) Entries(k Kind) []*Entry { return v.sections[k].sorted }

// Find returns the entry that a client's name or URI stands for. It is a map
// look-up without an allocation for everything that is listed.
//
// What is not listed may still have an owner: a URI that a template can have
// made belongs to the backend of the most literal such template; a URI belongs
// to the only backend with resources; a name whose prefix is the slug of a
// backend that was never listed yet belongs to that backend. The rules for that
// backend hold for it as for what is listed. Such an entry has no definition.
func (v *View) Find(k Kind, name []byte) (*Entry, bool) {
	if e, ok := v.sections[k].byName[string(name)]; ok {
		return e, true
	}
	if k == Resource || k == Template {
		return v.findURI(string(name))
	}
	return v.findName(k, string(name))
}

// findURI finds the owner of a URI, or of a URI template as completion refers to
// it, that is not listed as what it was looked for.
func (v *View) findURI(uri string) (*Entry, bool) {
	if e, ok := v.sections[Resource].byName[uri]; ok {
		return e, true
	}
	var best *Entry
	for _, e := range v.sections[Template].sorted {
		if (best == nil || e.match.literal > best.match.literal) && e.match.match(uri) && v.rules[e.Backend][Resource].permitsUnlisted(uri) {
			best = e
		}
	}
	if best != nil {
		return inferred(Resource, best.Backend, uri, uri), true
	}
	if owner := v.owner(); owner != "" && v.rules[owner][Resource].permitsUnlisted(uri) {
		return inferred(Resource, owner, uri, uri), true
	}
	return nil, false
}

// owner returns the only backend that a resource can belong to.
func (v *View) owner() string {
	if v.alone != "" {
		return v.alone
	}
	return v.sole
}

func (v *View) findName(k Kind, public string) (*Entry, bool) {
	if len(v.missing) == 0 {
		return nil, false
	}
	owner, name := v.alone, public
	if owner == "" {
		slug, rest, ok := v.namer.split(public)
		if owner = v.missing[slug]; !ok || owner == "" || v.bare {
			return nil, false
		}
		name = rest
	}
	own, ok := v.rules[owner][k].own(name)
	if !ok {
		return nil, false
	}
	return inferred(k, owner, public, own), true
}

func inferred(k Kind, backend, public, name string) *Entry {
	return &Entry{Kind: k, Backend: backend, Public: public, Name: name}
}

// Missing returns the names of backends that were never listed yet, sorted.
func (v *View) Missing() []string {
	names := make([]string, 0, len(v.missing))
	for _, name := range v.missing {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// newSection sorts the entries and prepares what every client asks for.
func newSection(k Kind, p pager, entries []*Entry) section {
	s := section{byName: make(map[string]*Entry, len(entries)), sorted: entries, pager: p}
	slices.SortFunc(s.sorted, func(a, b *Entry) int { return strings.Compare(a.Public, b.Public) })
	for _, e := range s.sorted {
		s.byName[e.Public] = e
	}
	s.first = s.page(k, 0)
	return s
}

// same reports whether clients see the same in both.
func (s *section) same(other *section) bool {
	return slices.EqualFunc(s.sorted, other.sorted, func(a, b *Entry) bool {
		return a.Backend == b.Backend && a.Public == b.Public && bytes.Equal(a.Definition, b.Definition)
	})
}
