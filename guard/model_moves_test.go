package guard_test

// A law is one configuration of the rules.
type law struct {
	name                         string
	agents, retries              int
	reject                       bool // whenOpen: reject
	lists, probes                bool // classes beside call
	nested, forbidding, expiring bool
	once                         bool // every agent makes one call, no outside events, the breaker stays shut
	fault                        fault
	script                       func(w *world, k moveKind, i int) bool // nil: every move
}

// A fault is a plausible wrong turn that the checker must find.
type fault uint8

const (
	noFault fault = iota
	noPromotion
	leaseLostOnCancel
	countsCallers
	renewsWhenLate
	staleSuccessCloses
	renewalCloses
	listClearsCalls
	resumesAtOne
	neverResumes
	releasesTwice
	neutralCounts
	abandonCounts
	nestedJoins
	publishesOvertaken
	keepsOvertakenPermanent
	resendsWhileOpen
	lateForEver
	fifthSend
	stragglersCount
	resumeIsVerdict
	coolsUntried
	rotationKeepsCount
	leaseSurvivesNeutral
)

// moveKind names what can happen next.
type moveKind uint8

const (
	callBegins moveKind = iota
	listBegins
	probeBegins
	isRefused
	isAccepted
	isNeutral
	isForbidden
	nests
	unnests
	cancels
	aloneOver
	pauseOver
	grewSlow
	limitOver
	gotNew
	gotSame
	gotPermanent
	renewsAhead
	rotates
	expires
	coolsDown
	keptPauses
	keptFades
)

// A move is one line of what the world may do; per agent unless global.
type move struct {
	kind   moveKind
	name   string
	global bool
	can    func(p *play, a agent) bool
	do     func(p *play, i int)
}

var moves = []move{
	{callBegins, "a call begins", false, func(p *play, a agent) bool { return a.at(away) && p.admits() },
		func(p *play, i int) { p.admit(i, isCall) }},
	{listBegins, "a list begins", false, func(p *play, a agent) bool { return a.at(away) && p.admits() && p.law.lists },
		func(p *play, i int) { p.admit(i, 0) }},
	{probeBegins, "a probe begins", false, func(p *play, a agent) bool { return a.at(away) && p.law.probes },
		func(p *play, i int) { p.admit(i, isProbing) }},
	{isRefused, "AUTH", false, func(_ *play, a agent) bool { return a.out() }, (*play).refused},
	{isAccepted, "ACCEPTED", false, func(_ *play, a agent) bool { return a.at(sent) }, (*play).accepted},
	{isNeutral, "NEUTRAL", false, func(_ *play, a agent) bool { return a.out() }, (*play).neutral},
	{isForbidden, "FORBIDDEN", false, func(p *play, a agent) bool { return a.at(sent) && p.law.forbidding }, (*play).forbidden},
	{nests, "a nested request", false, func(p *play, a agent) bool { return a.at(sent) && p.law.nested },
		func(p *play, i int) { p.who[i] = p.who[i]&^placeMask | nested }},
	{unnests, "the nested request is done", false, func(_ *play, a agent) bool { return a.at(nested) },
		func(p *play, i int) { p.who[i] = p.who[i]&^placeMask | sent }},
	{cancels, "cancel", false, func(_ *play, a agent) bool { return a.at(atSource) || a.at(seated) || a.at(alone) },
		func(p *play, i int) { p.leave(i, failed) }},
	{aloneOver, "private wait over", false, func(_ *play, a agent) bool { return a.at(alone) },
		func(p *play, i int) {
			if p.phase != shut {
				p.leave(i, failed)
				return
			}
			p.send(i)
		}},
	{pauseOver, "wait over", false, func(p *play, a agent) bool { return p.stage == pausing && a.at(seated) }, (*play).appoint},
	{grewSlow, "canary slow", true, func(p *play, _ agent) bool { return p.stage == trying && !p.is(freedOnce) },
		func(p *play, _ int) { p.release() }},
	{limitOver, "15 s over", true, func(p *play, _ agent) bool { return p.stage != quiet || p.phase == half },
		func(p *play, _ int) {
			if p.stage != quiet {
				p.exhaust()
				return
			}
			p.open()
		}},
	{gotNew, "renewed", true, func(p *play, _ agent) bool { return p.is(renewing) }, func(p *play, _ int) { p.sourceSays(gotNew) }},
	{gotSame, "nothing new", true, func(p *play, _ agent) bool { return p.is(renewing) }, func(p *play, _ int) { p.sourceSays(gotSame) }},
	{gotPermanent, "permanent", true, func(p *play, _ agent) bool { return p.is(renewing) }, func(p *play, _ int) { p.sourceSays(gotPermanent) }},
	{renewsAhead, "renewal ahead of time", true, func(p *play, _ agent) bool { return !p.is(renewing) && !p.is(permanent) && !p.law.once },
		func(p *play, _ int) { p.set(renewing, true) }},
	{rotates, "rotation", true, func(p *play, _ agent) bool { return !p.law.once }, (*play).rotated},
	{expires, "expiry", true, func(p *play, _ agent) bool { return p.law.expiring && !p.is(expired) },
		func(p *play, _ int) { p.set(expired, true) }},
	{coolsDown, "cool-down over", true, func(p *play, _ agent) bool { return p.phase == cooling }, func(p *play, _ int) { p.phase = cooled }},
	{keptPauses, "remembered wait over", true, func(p *play, _ agent) bool { return p.keep != 0 && !p.is(keptDone) && !p.is(keptAsks) },
		func(p *play, _ int) { p.set(keptDone, true) }},
	{keptFades, "remembered episode fades", true, func(p *play, _ agent) bool { return p.keep != 0 },
		func(p *play, _ int) {
			p.forget()
			if p.phase == shut && p.count == 0 {
				p.set(refusedCall|refusedList, false)
			}
		}},
}

func (p *play) admits() bool { return !p.law.reject || p.phase != cooling && p.phase != half }
