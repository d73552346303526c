package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// Kind is what an entry of the catalogue is.
type Kind uint8

// The kinds of entries.
const (
	Tool Kind = iota
	Prompt
	Resource
	Template
	kinds
)

// String returns the kind in lower case, for messages.
func (k Kind) String() string {
	return [...]string{"tool", "prompt", "resource", "resource template"}[k]
}

// field returns the member of a list result that holds entries of the kind.
func (k Kind) field() string {
	return [...]string{"tools", "prompts", "resources", "resourceTemplates"}[k]
}

// Report is something about one entry that its owner should know.
type Report struct {
	Backend string
	Kind    Kind
	Name    string // the backend's own
	Public  string // what clients see; "" when the entry is not listed
	Text    string // what happened, and why
}

// String returns the report as one line.
func (r Report) String() string {
	if r.Public == "" {
		return fmt.Sprintf("%s %q of %s is not listed: %s", r.Kind, r.Name, r.Backend, r.Text)
	}
	return fmt.Sprintf("%s %q of %s is listed as %q: %s", r.Kind, r.Name, r.Backend, r.Public, r.Text)
}

// item is one definition as a backend sent it.
type item struct {
	name   string
	as     string // the name after the rules for the backend, before a prefix
	raw    []byte
	nameAt wire.Span // of the name's value in raw
	params []wire.ParamHeader
	match  matcher // of templates
	digest Digest  // of tools and prompts
	before *Digest // of the definition that the name had earlier, nil if it is the first
	last   *Entry  // in the view of all backends; the catalogue's lock guards it
}

// listing is what one backend lists, as far as it is served. It is immutable, but
// for last.
type listing struct {
	items        [kinds][]item
	digests      map[named]Digest // of all permitted tools and prompts
	revision     wire.Revision
	server       json.RawMessage
	instructions string
	resources    bool      // the backend says that it has resources
	subscribe    bool      // and that clients can subscribe to single ones
	tasks        bool      // it answers with tasks
	extras       []wire.KV // capabilities beyond those that the gateway has itself
	reports      []Report
}

// newListing reads what a backend lists and applies the rules for it. Definitions
// that no client could use are left out and reported; they never take others with
// them.
func newListing(name string, c *backend.Capabilities, rules *selectors) *listing {
	l := &listing{
		revision: c.Revision, server: c.Server, instructions: bounded(c.Instructions),
		digests: make(map[named]Digest, len(c.Tools)+len(c.Prompts)),
	}
	var declared struct {
		Resources *struct {
			Subscribe bool `json:"subscribe"`
		} `json:"resources"`
		Tasks      json.RawMessage            `json:"tasks"`
		Extensions map[string]json.RawMessage `json:"extensions"`
	}
	_ = json.Unmarshal(c.Capabilities, &declared) // what is not there is not offered
	known := declared.Resources != nil
	l.resources = len(c.Resources)+len(c.Templates) > 0 || known
	l.subscribe = known && declared.Resources.Subscribe
	l.tasks = declared.Tasks != nil || declared.Extensions[tasksExtension] != nil
	l.extras = extras(c.Capabilities)
	for kind, raws := range [kinds][]json.RawMessage{c.Tools, c.Prompts, c.Resources, c.Templates} {
		l.read(name, Kind(kind), raws, &rules[kind])
	}
	return l
}

// read takes the definitions of one kind.
func (l *listing) read(name string, k Kind, raws []json.RawMessage, rules *selector) {
	seen, listed := make(map[string]bool, len(raws)), make(map[string]bool, len(raws))
	for _, e := range elements(raws) {
		it := item{name: e.Name, raw: e.Raw, nameAt: e.NameAt}
		if k == Resource || k == Template {
			it.name = e.URI
		}
		listed[it.name] = true
		if !rules.permits(it.name) {
			continue
		}
		err := it.complete(k)
		if err == nil && seen[it.name] {
			err = errTwice
		}
		if err == nil {
			seen[it.name] = true
			err = l.inspect(name, k, &it, rules)
		}
		if err != nil {
			l.reports = append(l.reports, Report{Backend: name, Kind: k, Name: shortened(it.name), Text: err.Error()})
			continue
		}
		l.items[k] = append(l.items[k], it)
	}
	if k == Tool || k == Prompt {
		l.reports = append(l.reports, rules.unmatched(name, k, listed)...)
		l.rename(name, k, rules)
	}
}

// inspect takes the digest of a tool or prompt and compares it with the pinned
// one.
func (l *listing) inspect(name string, k Kind, it *item, rules *selector) error {
	it.as = it.name
	if k != Tool && k != Prompt {
		return nil
	}
	it.digest = sha256.Sum256(wire.Canonical(nil, it.raw))
	l.digests[named{k, it.name}] = it.digest
	if want, pinned := rules.pin[it.name]; pinned && want != it.digest {
		return fmt.Errorf("its definition is %s and the pinned one %s; if the new one is welcome, %s",
			it.digest, want, pinning(name, rules.key, it))
	}
	return nil
}

// rename gives items the names that the rules have for them. A name that another
// item has, under its own name or an earlier rule, is not given again.
func (l *listing) rename(name string, k Kind, rules *selector) {
	to := make(map[string]string)
	for _, it := range l.items[k] {
		if wanted, ok := rules.rename[it.name]; ok {
			to[it.name] = wanted
		}
		if wanted, ok := rules.misnamed[it.name]; ok {
			l.reports = append(l.reports, Report{Backend: name, Kind: k, Name: shortened(it.name), Public: shortened(it.name),
				Text: fmt.Sprintf("it is not renamed to %q: names have letters, digits, _ . and - only", wanted)})
		}
	}
	// One that keeps its name may take it from another that was to get it.
	for again := len(to) > 0; again; {
		again = false
		holders := make(map[string]string)
		for _, it := range l.items[k] {
			if _, moves := to[it.name]; !moves {
				holders[it.name] = it.name
			}
		}
		for _, old := range slices.Sorted(maps.Keys(to)) {
			wanted := to[old]
			if holder, taken := holders[wanted]; taken {
				l.reports = append(l.reports, Report{Backend: name, Kind: k, Name: shortened(old), Public: shortened(old),
					Text: fmt.Sprintf("it is not renamed to %q: %q has that name", wanted, shortened(holder))})
				delete(to, old)
				again = true
				break
			}
			holders[wanted] = old
		}
	}
	for i := range l.items[k] {
		it := &l.items[k][i]
		it.as = cmp.Or(to[it.name], it.name)
	}
}

// elements finds the names of definitions. They were JSON when they came, so
// putting them together and taking them apart again cannot fail.
func elements(raws []json.RawMessage) []wire.Element {
	size := len(`{"list":[]}`) + len(raws)
	for _, raw := range raws {
		size += len(raw)
	}
	b := append(make([]byte, 0, size), `{"list":[`...)
	for i, raw := range raws {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, raw...)
	}
	list, _, err := wire.Elements(append(b, `]}`...), "list")
	if err != nil {
		return nil
	}
	return list
}

// maxName bounds names and URIs that are listed: a cursor has to carry one.
const maxName = 8 << 10

var (
	errNameless = errors.New("it has no name")
	errLong     = fmt.Errorf("its name is longer than %d bytes", maxName)
	errTwice    = errors.New("the backend lists it twice")
)

// complete checks the item and adds what the definition says beyond the name.
func (it *item) complete(k Kind) error {
	switch {
	case it.name == "":
		return errNameless
	case len(it.name) > maxName:
		return errLong
	}
	switch k {
	case Template:
		it.match, _ = newMatcher(it.name) // what cannot be matched is listed all the same
	case Tool:
		var d struct {
			InputSchema json.RawMessage `json:"inputSchema"`
		}
		if err := json.Unmarshal(it.raw, &d); err != nil {
			return err
		}
		var err error
		it.params, err = wire.ParamHeaders(d.InputSchema)
		return err
	}
	return nil
}

// shortened makes a name fit for a report.
func shortened(name string) string {
	if len(name) <= 2*maxMaxName {
		return name
	}
	return name[:2*maxMaxName] + "…"
}

// maxInstructions bounds what one backend may add to what clients read first.
const maxInstructions = 16 << 10

func bounded(s string) string {
	if len(s) <= maxInstructions {
		return s
	}
	return s[:maxInstructions]
}
