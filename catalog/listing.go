package catalog

import (
	"encoding/json"
	"errors"
	"fmt"

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
	raw    []byte
	nameAt wire.Span // of the name's value in raw
	params []wire.ParamHeader
	match  matcher // of templates
	last   *Entry  // in the view of all backends; the catalogue's lock guards it
}

// listing is what one backend lists. It is immutable, but for last.
type listing struct {
	items        [kinds][]item
	revision     wire.Revision
	server       json.RawMessage
	instructions string
	resources    bool      // the backend says that it has resources
	subscribe    bool      // and that clients can subscribe to single ones
	tasks        bool      // it answers with tasks
	extras       []wire.KV // capabilities beyond those that the gateway has itself
	reports      []Report
}

// newListing reads what a backend lists. Definitions that no client could use
// are left out and reported; they never take others with them.
func newListing(name string, c *backend.Capabilities) *listing {
	l := &listing{revision: c.Revision, server: c.Server, instructions: bounded(c.Instructions)}
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
		l.read(name, Kind(kind), raws)
	}
	return l
}

// read takes the definitions of one kind.
func (l *listing) read(name string, k Kind, raws []json.RawMessage) {
	seen := make(map[string]bool, len(raws))
	for _, e := range elements(raws) {
		it := item{name: e.Name, raw: e.Raw, nameAt: e.NameAt}
		if k == Resource || k == Template {
			it.name = e.URI
		}
		err := it.complete(k)
		if err == nil && seen[it.name] {
			err = errTwice
		}
		if err != nil {
			l.reports = append(l.reports, Report{Backend: name, Kind: k, Name: shortened(it.name), Text: err.Error()})
			continue
		}
		seen[it.name] = true
		l.items[k] = append(l.items[k], it)
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
