package config

import (
	"slices"

	"github.com/recloser-mcp/recloser/catalog"
)

// checkPriority wants catalog.priority to name backends.
func (d *decoder) checkPriority(root *node, f *file) {
	m := section(root, "catalog").get("priority")
	if m == nil {
		return
	}
	var names []string
	for _, s := range f.MCPServers {
		names = append(names, s.key)
	}
	for i, name := range f.Catalog.Priority {
		item, path := m.value.items[i], index("catalog.priority", i)
		if !slices.Contains(names, name) && !d.bad(path) {
			d.add(item.mark, path, "there is no backend "+quote(item), suggestion(item.text, names))
		}
	}
}

// listOfTools takes a list in the place of the rules for tools, as some clients
// write it, for the tools that are allowed.
func listOfTools(n *node) {
	if m := n.get("tools"); m != nil && m.value.kind == list {
		m.value = &node{mark: m.value.mark, kind: mapping, members: []member{{m.value.mark, "allow", m.value}}}
	}
}

// checkSelection checks what of a backend is to be served.
func (d *decoder) checkSelection(s *server) {
	e := &s.entry
	for key, rules := range map[string]any{"tools": e.Tools, "prompts": e.Prompts, "resources": e.Resources} {
		n := section(s.value, key)
		d.validate(n, join(s.path, key), n.mark, rules)
	}
	if m := s.value.get("includeTools"); m != nil {
		switch path := join(s.path, "includeTools"); {
		case d.bad(path):
		case e.Tools.Allow != nil:
			d.add(m.mark, path, "is given beside tools.allow", "keep one of the two")
		case len(e.IncludeTools) == 0:
			d.add(m.value.mark, path, "is empty", "remove it to serve every tool, or set disabled: true")
		}
	}
}

// selection is what of a backend is served: its rules, and what clients call
// them.
func (e *entry) selection() catalog.Selection {
	s := e.Selection
	for _, name := range e.IncludeTools {
		s.Tools.Allow = append(s.Tools.Allow, catalog.Literal(name))
	}
	for _, name := range slices.Concat(e.ExcludeTools, e.DisabledTools) {
		s.Tools.Deny = append(s.Tools.Deny, catalog.Literal(name))
	}
	return s
}
