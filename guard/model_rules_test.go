package guard_test

import "slices"

// The rules of docs/guard.md as a small abstract machine, for the checker in
// model_space_test.go. It shares nothing with the package but the document:
// where the two disagree, one of them misreads it.
//
// Epochs and generations are one bit per send ("is it still the current one?"),
// time is the freedom of a wait, a limit or a cool-down to end at any moment, so
// calls, renewals and rotations are unbounded in number and the space is finite.

const (
	maxAgents = 3
	opensAt   = 2 // consecutive exhausted sequences; 5 outside the model
)

// An agent is one caller, in one word: where it is, the sends it made, its marks.
type agent uint16

const (
	away     agent = iota // between two calls
	atSource              // nothing usable to send: waits for a renewal
	sent                  // a request is out
	nested                // a request made for the call is out, a session re-opened say
	seated                // waits in the episode
	alone                 // waits privately after a FORBIDDEN
	answered              // one-call scripts: over, with the answer
	failed                // one-call scripts: over, with an authentication error

	placeMask agent = 7
	oneSend   agent = 1 << 3
	sendsMask agent = 7 << 3
)

const (
	isGen     agent = 1 << (6 + iota) // its send carries the generation current now
	isEpoch                           // its send began in the epoch current now
	isCall                            // class call, else list
	isCanary                          // its send is the canary's
	isFreed                           // its send is this episode's release of it
	isLeased                          // holds the half-open lease
	isLatter                          // its send left after the remembered episode's wait was over
	isOld                             // straggler: sent before the last exhaustion
	isProbing                         // a health probe
	ofTheSend = isGen | isEpoch | isFreed | isLatter | isOld
)

func (a agent) at(p agent) bool  { return a&placeMask == p }
func (a agent) has(m agent) bool { return a&m == m }
func (a agent) out() bool        { return a.at(sent) || a.at(nested) }
func (a agent) sends() int       { return int(a & sendsMask / oneSend) }

// A mark is one fact about the guard or its source.
type mark uint16

const (
	refusedCall mark = 1 << iota // a call was refused since the trouble began
	refusedList                  // a list was, or a probe
	freedOnce                    // this episode's release is used up
	renewing                     // the source renews
	overtaken                    // that renewal began before a rotation
	permanent                    // the source will not ask again for this generation
	seenBad                      // a send of the current generation was refused
	expired                      // the current credential is past its time
	keptDone                     // the remembered episode's wait is over
	keptFreed                    // its release was used
	keptAsks                     // it was abandoned before its renewal returned
)

// Phases of the breaker and stages of the episode.
const (
	shut uint8 = iota
	cooling
	cooled
	half
)

const (
	quiet   uint8 = iota
	asking        // Renew of this step has not returned
	pausing       // the wait before this step's canary
	trying        // the canary is out
	freed         // all were released with a credential nobody had tried
)

// world is one state; comparable, so it is its own key.
type world struct {
	who                  [maxAgents]agent
	marks                mark
	phase, stage         uint8
	count, run           uint8 // run: exhausted episodes, counted independently of count
	step, keep           uint8 // keep: step of the remembered episode, 0 for none
	sends, renews, waits uint8 // one-call scripts only
}

func (w *world) is(m mark) bool { return w.marks&m == m }

func (w *world) set(m mark, on bool) {
	w.marks &^= m
	if on {
		w.marks |= m
	}
}

func (w *world) seats() (n int) {
	for _, a := range w.who {
		if a.at(seated) {
			n++
		}
	}
	return n
}

func (w *world) any(f func(agent) bool) bool { return slices.ContainsFunc(w.who[:], f) }

func (w *world) strip(m agent) {
	for i := range w.who {
		w.who[i] &^= m
	}
}

// play is a world while a move changes it.
type play struct {
	world
	law    *law
	cause  moveKind
	broken string // the first rule broken
}

func (p *play) blame(what string) {
	if p.broken == "" {
		p.broken = what
	}
}

func (p *play) faulty(f fault) bool { return p.law.fault == f }

// barred: the breaker lets this call send, but never again.
func (p *play) barred(i int) bool {
	return p.phase == cooling || p.phase == cooled || p.phase == half && !p.who[i].has(isLeased)
}

func (p *play) admit(i int, class agent) {
	p.who[i] = away | class
	probe := class.has(isProbing)
	if p.phase == cooled && !probe {
		p.phase = half
		p.who[i] |= isLeased
	}
	switch {
	case !p.is(expired):
		p.send(i)
	case p.is(permanent):
		p.leave(i, failed)
	default:
		p.who[i] |= atSource
		p.renew()
	}
}

func (p *play) send(i int) {
	a := &p.who[i]
	if again := a.sends() > 0; again && p.barred(i) && !a.has(isProbing) {
		p.blame("a call was sent again although the breaker is open")
	}
	*a = *a&^(placeMask|ofTheSend) + oneSend | sent | isGen | isEpoch
	if p.keep != 0 && p.is(keptDone) {
		*a |= isLatter
	}
	if a.sends() > p.law.retries+1 {
		p.blame("I1: too many sends for one call")
	}
	if p.law.once {
		p.sends++
	}
}

func (p *play) leave(i int, end agent) {
	p.who[i] = away
	if p.law.once {
		p.who[i] = end
	}
}

// renew starts the one renewal, unless it runs.
func (p *play) renew() {
	if p.is(renewing) {
		return
	}
	if !p.is(seenBad) && !p.is(expired) {
		p.blame("I2: a generation nobody saw refused is renewed")
	}
	p.set(renewing, true)
	p.set(overtaken, false)
	if p.law.once {
		p.renews++
	}
}

// refused is the verdict AUTH; the order of the cases is the table's.
func (p *play) refused(i int) {
	a := p.who[i]
	if a.has(isGen) {
		p.set(seenBad, true)
	}
	switch limit := a.sends() > p.law.retries; {
	case a.has(isProbing):
		p.probeRefused(i)
	case a.has(isCanary):
		p.canaryRefused(i, limit)
	case p.barred(i) && !p.faulty(resendsWhileOpen):
		p.note(a)
		p.leave(i, failed)
	case a.has(isOld) && !p.faulty(stragglersCount):
		p.leave(i, failed)
	case limit && !p.faulty(fifthSend):
		moves := a.has(isFreed) && p.stage == freed
		if moves {
			p.note(a)
		}
		p.leave(i, failed)
		if moves && a.has(isGen) {
			p.advance(true)
		}
	case !a.has(isGen) && (!a.has(isFreed) || p.faulty(lateForEver)):
		if p.faulty(renewsWhenLate) {
			p.renew()
		}
		p.send(i)
		if p.stage != quiet {
			p.who[i] |= isFreed
		}
	default:
		p.note(a)
		p.sit(i)
	}
}

// note remembers the class of a refusal that says something about the backend.
func (p *play) note(a agent) {
	if a.has(isCall) {
		p.set(refusedCall, true)
	} else {
		p.set(refusedList, true)
	}
}

func (p *play) probeRefused(i int) {
	if p.dirty() {
		p.set(refusedList, true)
	}
	if p.who[i].has(isGen) && !p.is(permanent) {
		p.renew()
	}
	p.leave(i, failed)
}

func (p *play) canaryRefused(i int, limit bool) {
	a := p.who[i]
	if p.faulty(nestedJoins) && a.at(nested) {
		p.who[i] = a&^placeMask | seated
		return
	}
	p.note(a)
	p.who[i] = a&^(placeMask|isCanary) | seated
	if limit {
		p.leave(i, failed)
	}
	p.advance(a.has(isGen))
}

// sit makes the refused call join, resume or start an episode.
func (p *play) sit(i int) {
	a := p.who[i]
	p.who[i] = a&^(placeMask|isFreed) | seated
	switch {
	case p.stage == freed:
		p.advance(a.has(isGen))
	case p.stage != quiet:
		if a.has(isLeased) {
			p.blame("the lease's call joined an episode")
		}
	default:
		if a.has(isLeased) {
			p.set(permanent, false) // the half-open probe asks the issuer once more
		}
		if p.keep != 0 && !p.faulty(neverResumes) {
			p.resume(a)
			return
		}
		p.forget()
		p.strip(isEpoch)
		p.step = 1
		p.ask(a.has(isGen))
	}
}

func (p *play) resume(a agent) {
	step, done, asks := p.keep, p.is(keptDone), p.is(keptAsks)
	p.set(freedOnce, p.is(keptFreed))
	p.forget()
	p.step = step
	switch {
	case p.faulty(resumesAtOne):
		p.step = 1
		p.ask(a.has(isGen))
	case done && (a.has(isLatter) || p.faulty(resumeIsVerdict)):
		p.advance(a.has(isGen))
	case asks:
		p.ask(a.has(isGen))
	default:
		p.stage = pausing
	}
}

// advance is step k+1, or exhaustion after the last.
func (p *play) advance(current bool) {
	p.strip(isCanary)
	if p.step++; int(p.step) > p.law.retries {
		p.exhaust()
		return
	}
	p.ask(current)
}

// ask is Renew at the start of a step; with an older generation it returns at
// once, a sticky permanent answer does as well.
func (p *play) ask(current bool) {
	p.stage = asking
	switch {
	case p.seats() == 0:
	case !current:
		p.learned(gotNew)
	case p.is(permanent):
		p.learned(gotPermanent)
	default:
		p.renew()
	}
}

func (p *play) learned(outcome moveKind) {
	switch {
	case outcome == gotPermanent:
		p.exhaust()
	case outcome == gotNew && (!p.is(freedOnce) || p.faulty(releasesTwice)):
		p.release()
	default:
		p.stage = pausing
		if p.law.once {
			p.waits++
		}
	}
}

func (p *play) release() {
	p.stage = freed
	p.set(freedOnce, true)
	for i, a := range p.who {
		if a.has(isCanary) { // slow: it goes on as one of the released
			p.who[i] = a&^isCanary | isFreed
		}
		if a.at(seated) {
			p.send(i)
			p.who[i] |= isFreed
		}
	}
}

func (p *play) exhaust() {
	n := uint8(1)
	if p.faulty(countsCallers) {
		n = uint8(p.seats())
	}
	for i, a := range p.who {
		switch {
		case a.at(seated):
			p.leave(i, failed)
		case a.out():
			p.who[i] |= isOld
		}
	}
	p.over()
	p.forget()
	p.count, p.run = min(p.count+n, opensAt), min(p.run+1, opensAt)
	if p.phase == half || p.count == opensAt && !p.law.once {
		if p.phase == shut && p.run < opensAt {
			p.blame("I5: open after too few exhausted sequences")
		}
		p.open()
	}
}
