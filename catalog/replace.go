package catalog

import (
	"reflect"
	"slices"
)

// Replace serves these backends from now on, under these options. A backend that
// keeps its name, its slug and its Client keeps what is known of it: its lists stay
// as they are while nothing changes for them, and new rules apply at once. One that
// has another Client keeps its lists until the new one was asked. Names
// that clients have got stay with their backends as long as those are there.
// Subscribers are told what changed. Logger and Notice of the options
// are those of New.
func (c *Catalog) Replace(o Options, backends []Backend) {
	o.Logger = c.log
	o = o.withDefaults()
	c.publish(nil, 0, func() {
		before := c.merger
		m := newMerger(o, slices.Clone(backends))
		m.settled = before.settled || m.conflicts != before.conflicts
		index := make(map[string]int, len(backends))
		loops := make(map[string]*loop, len(backends))
		c.merger = m
		for i, b := range m.backends {
			l := c.loops[b.Name]
			if l == nil || l.b.Client != b.Client || l.b.Slug != b.Slug {
				loops[b.Name] = newLoop(c, i, b)
				if l != nil {
					loops[b.Name].succeed(l)
				}
				continue
			}
			loops[b.Name], index[b.Name] = l, i
			was, rules := l.index, l.b.Selection
			l.index = i
			l.b.Selection = b.Selection
			if reflect.DeepEqual(rules, b.Selection) {
				m.listings[i] = before.listings[was]
			}
		}
		for _, l := range loops {
			if l.caps != nil && m.listings[l.index] == nil {
				c.read(l)
			}
		}
		m.inherit(before, index)
		for name, l := range c.loops {
			if loops[name] != l && l.stop != nil {
				l.stop()
			}
		}
		c.loops = loops
		for _, l := range loops {
			if l.stop == nil && c.ctx != nil {
				c.start(l)
			}
		}
	})
}

// succeed takes over what another backend of the same name listed last: its tools
// stay until the new one was asked.
func (l *loop) succeed(before *loop) {
	l.caps, l.history = before.caps, before.history
}

// inherit takes over which names belong to whom. index has the place of each
// backend that was there before.
func (m *merger) inherit(before *merger, index map[string]int) {
	if m.conflicts != before.conflicts || m.namer != before.namer {
		return // names are made in another way: none of the old ones is left
	}
	for n := range before.sticky {
		m.sticky[n] = true
	}
	for n, owner := range before.owners {
		if i, still := index[before.backends[owner].Name]; still {
			m.owners[n] = i
		}
	}
}
