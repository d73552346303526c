package guard_test

import (
	"fmt"
	"testing"
)

// A trial is a configuration and a question about the worlds reached in it.
type trial struct {
	law   law
	audit func(s *space) string // "" when all is well; nil asks nothing more
}

func (tr trial) run(f fault) string {
	tr.law.fault = f
	s := explore(tr.law)
	if s.broken != "" || tr.audit == nil {
		return s.broken
	}
	return tr.audit(s)
}

func only(kinds ...moveKind) func(*world, moveKind, int) bool {
	var set [keptFades + 1]bool
	for _, k := range kinds {
		set[k] = true
	}
	return func(_ *world, k moveKind, _ int) bool { return set[k] }
}

// together lets the first answer come when every call is under way.
func together(n int, kinds ...moveKind) func(*world, moveKind, int) bool {
	f := only(kinds...)
	return func(w *world, k moveKind, i int) bool {
		if k == isRefused {
			for _, a := range w.who[:n] {
				if a.at(away) {
					return false
				}
			}
		}
		return f(w, k, i)
	}
}

// bounds are what a one-call script may end with.
type bounds struct {
	sends, renews, waits, answers, count [2]int
}

func exactly(n int) [2]int    { return [2]int{n, n} }
func between(a, b int) [2]int { return [2]int{a, b} }
func (b bounds) within() func(s *space) string {
	return func(s *space) string {
		ends := 0
		for k, w := range s.worlds {
			answers, over := 0, 0
			for _, a := range w.who[:s.law.agents] {
				if a.at(answered) {
					answers++
				}
				if a.at(answered) || a.at(failed) {
					over++
				}
			}
			if over < s.law.agents {
				continue
			}
			ends++
			for _, x := range []struct {
				name string
				got  int
				want [2]int
			}{
				{"sends", int(w.sends), b.sends}, {"renewals", int(w.renews), b.renews}, {"waits", int(w.waits), b.waits},
				{"answers", answers, b.answers}, {"count", int(w.count), b.count},
			} {
				if x.got < x.want[0] || x.got > x.want[1] {
					return fmt.Sprintf("%d %s, want %v, by %q", x.got, x.name, x.want, s.way(uint32(k)))
				}
			}
		}
		if ends == 0 {
			return "no call ends"
		}
		return ""
	}
}

func comesTo(phase uint8) func(*space) string {
	return func(s *space) string {
		for _, w := range s.worlds {
			if w.phase == phase {
				return ""
			}
		}
		return fmt.Sprintf("phase %d is never reached", phase)
	}
}

func once(name string, n int, script func(*world, moveKind, int) bool) law {
	return law{name: fmt.Sprintf("%s, N=%d", name, n), agents: n, retries: 3, once: true, script: script}
}

// first says whether the send carries the generation that the script began with.
func first(w *world, i int) bool {
	return !w.who[i].has(isGen) || w.renews == 0 || w.is(renewing)
}

// trials walk the rows of the fault table that the rules alone can show.
func trials() (all []trial) {
	add := func(l law, audit func(*space) string) { all = append(all, trial{l, audit}) }
	for n := 1; n <= maxAgents; n++ {
		add(once("I13, F4: nothing new", n, together(n, callBegins, isRefused, gotSame, pauseOver)),
			bounds{exactly(n + 3), exactly(3), exactly(3), exactly(0), exactly(1)}.within())
		lo := 4 // one caller alone uses up its sends
		if n > 1 {
			lo = n + 3
		}
		add(once("I13, F11: every new token refused", n, together(n, callBegins, isRefused, gotNew, pauseOver)),
			bounds{between(lo, 2*n+2), exactly(3), between(2, 2), exactly(0), exactly(1)}.within())
		add(once("I13: verdicts take over 2 s", n, together(n, callBegins, isRefused, gotSame, gotNew, pauseOver, grewSlow)),
			bounds{between(lo, 2*n+2), exactly(3), between(2, 3), exactly(0), exactly(1)}.within())
		add(once("F9: invalid_grant", n, together(n, callBegins, isRefused, gotPermanent)),
			bounds{exactly(n), exactly(1), exactly(0), exactly(0), exactly(1)}.within())
		add(once("F1: revoked", n, func(w *world, k moveKind, i int) bool {
			switch k {
			case isRefused:
				return first(w, i)
			case isAccepted:
				return !first(w, i)
			}
			return k == callBegins || k == gotNew && w.renews == 1
		}), bounds{between(n+1, 2*n), exactly(1), exactly(0), exactly(n), exactly(0)}.within())
	}
	add(once("F3: refused for a while", 1, func(w *world, k moveKind, i int) bool {
		switch k {
		case isRefused:
			return w.who[i].sends() < 3
		case isAccepted:
			return w.who[i].sends() == 3
		}
		return k == callBegins || k == gotSame || k == pauseOver
	}), bounds{exactly(3), exactly(2), exactly(2), exactly(1), exactly(0)}.within())

	reopened := once("F22: refused inside a re-opened session", 1, func(w *world, k moveKind, i int) bool {
		switch k {
		case isRefused:
			return w.renews == 0 && w.who[i].at(nested)
		case isAccepted, unnests:
			return w.renews > 0
		case nests:
			return w.who[i].sends() == 1
		}
		return k == callBegins || k == gotNew
	})
	reopened.nested = true
	add(reopened, bounds{exactly(2), exactly(1), exactly(0), exactly(1), exactly(0)}.within())

	add(law{name: "F11: opens", agents: 2, retries: 3, script: only(callBegins, isRefused, gotNew, pauseOver, keptPauses)}, comesTo(cooling))
	add(law{name: "F26: opens although lists are accepted", agents: 2, retries: 3, lists: true,
		script: func(w *world, k moveKind, i int) bool {
			switch k {
			case isRefused:
				return w.who[i].has(isCall)
			case isAccepted:
				return !w.who[i].has(isCall)
			}
			return only(callBegins, listBegins, gotSame, pauseOver, keptPauses)(w, k, i)
		}}, func(s *space) string {
		from, stuck, way := s.stuck(func(w *world) bool { return w.phase == shut }, func(w *world) bool { return w.phase == cooling },
			callBegins, isRefused, isAccepted, gotSame, pauseOver)
		if stuck > 0 || from == 0 {
			return "the calls cannot open it, by " + way
		}
		return ""
	})
	add(impatient(), func(s *space) string {
		if missing := comesTo(cooling)(s); missing != "" {
			return missing
		}
		_, stuck, way := s.stuck(func(w *world) bool { return w.phase == half }, func(w *world) bool { return w.phase == cooling },
			callBegins, isRefused, gotSame, pauseOver, cancels, coolsDown, keptPauses)
		if stuck > 0 {
			return "half-open does not open again, by " + way
		}
		return ""
	})
	for _, l := range both(law{name: "F7: one call closes it", agents: 1, retries: 3}) {
		add(l, func(s *space) string {
			moves := []moveKind{callBegins, isAccepted}
			if s.law.reject {
				moves = append(moves, coolsDown)
			}
			if from, stuck, way := s.stuck(func(w *world) bool { return w.phase == cooling }, func(w *world) bool { return w.phase == shut },
				moves...); stuck > 0 || from == 0 {
				return "stays open, by " + way
			}
			return ""
		})
	}
	add(law{name: "F25: the token server returns", agents: 2, retries: 1, reject: true}, func(s *space) string {
		if _, stuck, way := s.stuck(func(w *world) bool { return w.phase == cooling && !w.is(permanent) },
			func(w *world) bool { return w.phase == shut }, renewsAhead, gotNew, callBegins, isAccepted); stuck > 0 {
			return "needs the cool-down, by " + way
		}
		return ""
	})
	add(law{name: "F14: every answer takes over 15 s", agents: 1, retries: 3, reject: true}, func(s *space) string {
		l := *s.law
		s.law = &l
		l.script = func(w *world, k moveKind, _ int) bool { return k != isAccepted || w.phase != half }
		if _, stuck, way := s.stuck(func(w *world) bool { return w.phase == cooling }, func(w *world) bool { return w.phase == shut },
			callBegins, coolsDown, limitOver, isAccepted); stuck > 0 {
			return "never closes, by " + way
		}
		return ""
	})
	return all
}

// impatient is F28: a caller whose deadline outlives only its first wait.
func impatient() law {
	return law{name: "F28: short deadlines", agents: 1, retries: 3, script: func(w *world, k moveKind, i int) bool {
		patient := w.step == 1 && w.who[i].sends() == 1
		switch k {
		case pauseOver:
			return patient
		case cancels:
			return w.stage == pausing && !patient
		}
		return only(callBegins, isRefused, gotSame, keptPauses, coolsDown)(w, k, i)
	}}
}

func TestModelScripts(t *testing.T) {
	for _, tr := range trials() {
		t.Run(tr.law.name, func(t *testing.T) {
			t.Parallel()
			if wrong := tr.run(noFault); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// TestModelFindsFaults seeds one wrong turn at a time: a checker that lets one
// of them pass would not notice it in the rules either.
func TestModelFindsFaults(t *testing.T) {
	spaces := []trial{
		{law: law{name: "nested", agents: 2, retries: 1, nested: true}},
	}
	for f, name := range map[fault]string{
		noPromotion:             "no canary promotion",
		leaseLostOnCancel:       "lease lost on cancel",
		leaseSurvivesNeutral:    "lease kept after NEUTRAL",
		countsCallers:           "count per caller",
		renewsWhenLate:          "renewal on a late refusal",
		staleSuccessCloses:      "stale success closes",
		renewalCloses:           "renewal closes",
		listClearsCalls:         "a list's success clears refused calls",
		resumesAtOne:            "resume at step 1",
		neverResumes:            "abandoned episodes forgotten",
		releasesTwice:           "release twice",
		neutralCounts:           "NEUTRAL canary counted",
		abandonCounts:           "abandoned episode counted",
		nestedJoins:             "nested refusal joins",
		publishesOvertaken:      "renewal published over a rotation",
		keepsOvertakenPermanent: "permanent of an older credential kept",
		resendsWhileOpen:        "late call re-sent while open",
		lateForEver:             "late without limit",
		fifthSend:               "a fifth send",
		stragglersCount:         "stragglers counted",
		resumeIsVerdict:         "resume takes any refusal for the canary's",
		coolsUntried:            "cools for an untried credential",
		rotationKeepsCount:      "rotation keeps the count",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tr := range append(trials(), spaces...) {
				if wrong := tr.run(f); wrong != "" {
					t.Logf("%s: %s", tr.law.name, wrong)
					return
				}
			}
			t.Error("not found")
		})
	}
}
