package catalog

import (
	"slices"

	"github.com/recloser-mcp/recloser/wire"
)

// tasksExtension names the extension of 2026-07-28 by which servers answer with
// tasks; in 2025-11-25 it is a capability of the protocol.
const tasksExtension = "io.modelcontextprotocol/tasks"

// served are the capabilities that the gateway has itself, whatever its backends
// have.
var served = []string{"completions", "logging", "prompts", "resources", "tools"}

// extras returns the capabilities of a backend that are passed on to clients.
func extras(capabilities []byte) (all []wire.KV) {
	members, _ := wire.Members(slices.Clone(capabilities))
	for _, m := range members {
		if m.Value != nil && !slices.Contains(served, m.Key) {
			all = append(all, m)
		}
	}
	return all
}

// mergeExtras joins the capabilities of several backends. Where two have the same
// one, their members are joined; of two members of one name the first stays.
func mergeExtras(lists [][]wire.KV) []byte {
	var order []string
	merged := map[string][]wire.KV{}
	for _, list := range lists {
		for _, m := range list {
			if _, ok := merged[m.Key]; !ok {
				order = append(order, m.Key)
			}
			inner, _ := wire.Members(m.Value)
			for _, in := range inner {
				if !slices.ContainsFunc(merged[m.Key], func(have wire.KV) bool { return have.Key == in.Key }) {
					merged[m.Key] = append(merged[m.Key], in)
				}
			}
			if merged[m.Key] == nil {
				merged[m.Key] = []wire.KV{}
			}
		}
	}
	var out []byte
	for _, key := range order {
		out = append(wire.Quote(append(out, ','), key), ':', '{')
		for i, in := range merged[key] {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(wire.Quote(out, in.Key), ':')
			if in.Value == nil {
				out = append(out, "null"...)
			}
			out = append(out, in.Value...)
		}
		out = append(out, '}')
	}
	return out
}

// Extras returns the capabilities that backends of the era add to those of the
// gateway, as members with a comma before each; nil when there are none.
func (v *View) Extras(modern bool) []byte {
	if modern {
		return v.extras[1]
	}
	return v.extras[0]
}

// eras returns the joined capabilities of elder and of later backends.
func eras(listings []*listing) (out [2][]byte) {
	var by [2][][]wire.KV
	for _, l := range listings {
		switch {
		case l == nil:
		case l.revision.Stateless():
			by[1] = append(by[1], l.extras)
		default:
			by[0] = append(by[0], l.extras)
		}
	}
	return [2][]byte{mergeExtras(by[0]), mergeExtras(by[1])}
}

// HasTasks reports whether the backend said that it answers with tasks.
func (s *Snapshot) HasTasks(backend string) bool { return s.tasks[backend] }
