package guard_test

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// A step is one edge of the space.
type step struct {
	kind   moveKind
	agent  int
	to     world
	broken string
}

// next lists every step out of w.
func (l *law) next(w *world, out []step) []step {
	out = out[:0]
	var p play
	for m := range moves {
		mv := &moves[m]
		for i := range l.agents {
			if !mv.global && i > 0 && w.who[i] == w.who[i-1] {
				continue // agents are alike, and sorted
			}
			p = play{world: *w, law: l, cause: mv.kind}
			if !mv.can(&p, w.who[i]) || l.script != nil && !l.script(w, mv.kind, i) {
				if mv.global {
					break
				}
				continue
			}
			mv.do(&p, i)
			heirs := p.settle()
			if len(heirs) == 0 {
				out = append(out, p.finish(w, i))
			}
			for _, h := range heirs {
				q := p
				q.appoint(h)
				out = append(out, q.finish(w, i))
			}
			if mv.global {
				break
			}
		}
	}
	return out
}

func (p *play) finish(before *world, i int) step {
	p.inspect()
	p.compare(before, i)
	for k, a := range p.who {
		if a.at(seated) || a.at(atSource) || a.at(alone) {
			p.who[k] = a &^ ofTheSend
		}
	}
	slices.Sort(p.who[:p.law.agents])
	return step{p.cause, i, p.world, p.broken}
}

// A space is the set of reachable worlds, exact.
type space struct {
	law    *law
	worlds []world
	parent []uint32
	table  []uint32 // index+1 into worlds, open addressing
	seed   maphash.Seed
	broken string // the first rule found broken, with the way there
}

func (s *space) slot(w world) (k uint64, found bool) {
	mask := uint64(len(s.table) - 1)
	for k = maphash.Comparable(s.seed, w) & mask; s.table[k] != 0; k = (k + 1) & mask {
		if s.worlds[s.table[k]-1] == w {
			return uint64(s.table[k] - 1), true
		}
	}
	return k, false
}

func (s *space) add(w world, parent uint32) {
	if len(s.worlds)*2 >= len(s.table) {
		s.table = make([]uint32, max(1<<12, 2*len(s.table)))
		for i, old := range s.worlds {
			k, _ := s.slot(old)
			s.table[k] = uint32(i + 1)
		}
	}
	if k, found := s.slot(w); !found {
		s.worlds, s.parent = append(s.worlds, w), append(s.parent, parent)
		s.table[k] = uint32(len(s.worlds))
	}
}

// explore visits every reachable world, nearest first, until a rule breaks.
func explore(l law) *space {
	s := &space{law: &l, seed: maphash.MakeSeed()}
	s.add(world{}, 0)
	var buf []step
	for k := 0; k < len(s.worlds); k++ {
		w := s.worlds[k]
		buf = l.next(&w, buf)
		for i := range buf {
			if buf[i].broken != "" {
				s.broken = buf[i].broken + ", by: " + strings.Join(append(s.way(uint32(k)), buf[i].String()), "; ")
				return s
			}
			s.add(buf[i].to, uint32(k))
		}
	}
	return s
}

func (e step) String() string {
	if moves[e.kind].global {
		return moves[e.kind].name
	}
	return fmt.Sprintf("%s #%d", moves[e.kind].name, e.agent)
}

// way tells how the k-th world is reached.
func (s *space) way(k uint32) (names []string) {
	for ; k != 0; k = s.parent[k] {
		from := s.worlds[s.parent[k]]
		for _, e := range s.law.next(&from, nil) {
			if e.to == s.worlds[k] {
				names = append(names, e.String())
				break
			}
		}
	}
	slices.Reverse(names)
	return names
}

// stuck counts the worlds of from, of those reached, that cannot come to a world
// of to by the given moves alone.
func (s *space) stuck(from, to func(*world) bool, by ...moveKind) (starts, stuck int, where string) {
	l := *s.law
	script := l.script
	l.script = func(w *world, k moveKind, i int) bool {
		return slices.Contains(by, k) && (script == nil || script(w, k, i))
	}
	type edge struct{ from, next uint32 } // next edge into the same world, +1
	into := make([]uint32, len(s.worlds))
	var edges []edge
	var buf []step
	for k := range s.worlds {
		buf = l.next(&s.worlds[k], buf)
		for i := range buf {
			if to, found := s.slot(buf[i].to); found {
				edges = append(edges, edge{uint32(k), into[to]})
				into[to] = uint32(len(edges))
			}
		}
	}
	good := make([]bool, len(s.worlds))
	var queue []uint32
	for k := range s.worlds {
		if to(&s.worlds[k]) {
			good[k] = true
			queue = append(queue, uint32(k))
		}
	}
	for len(queue) > 0 {
		k := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for e := into[k]; e != 0; e = edges[e-1].next {
			if f := edges[e-1].from; !good[f] {
				good[f] = true
				queue = append(queue, f)
			}
		}
	}
	for k := range s.worlds {
		if !from(&s.worlds[k]) {
			continue
		}
		if starts++; !good[k] {
			if stuck++; stuck == 1 {
				where = strings.Join(s.way(uint32(k)), "; ")
			}
		}
	}
	return starts, stuck, where
}
