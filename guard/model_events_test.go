package guard_test

func (p *play) dirty() bool {
	return p.phase != shut || p.count != 0 || p.stage != quiet || p.keep != 0
}

func (p *play) accepted(i int) {
	a := p.who[i]
	suffices := a.has(isCall) || !p.is(refusedCall) || p.is(refusedList)
	dirty := p.dirty()
	p.leave(i, answered)
	switch {
	case !dirty:
	case !a.has(isEpoch) && !p.faulty(staleSuccessCloses):
	case !suffices && !p.faulty(listClearsCalls):
	default:
		if !suffices {
			p.blame("classes: a list cleared refusals of calls")
		}
		p.clear()
	}
}

// clear closes: everybody who waits sends.
func (p *play) clear() {
	p.phase, p.count, p.run = shut, 0, 0
	p.set(refusedCall|refusedList, false)
	p.over()
	p.forget()
	p.strip(isLeased | isEpoch | isOld)
	for i, a := range p.who {
		if a.at(seated) {
			p.send(i)
		}
	}
}

func (p *play) neutral(i int) {
	canary, current := p.who[i].has(isCanary), p.who[i].has(isGen)
	p.leave(i, answered)
	if canary && p.faulty(neutralCounts) {
		p.advance(current)
	}
}

func (p *play) forbidden(i int) {
	a := p.who[i]
	if a.sends() > p.law.retries || p.phase != shut || a.has(isProbing) {
		p.leave(i, failed)
		return
	}
	p.who[i] = a&(sendsMask|isCall) | alone
}

func (p *play) rotated(_ int) {
	p.freshGeneration()
	p.set(overtaken, p.is(renewing))
	count := p.count
	p.clear()
	if p.faulty(rotationKeepsCount) {
		p.count = count
	}
	for i, a := range p.who {
		if a.at(atSource) {
			p.send(i)
		}
	}
}

func (p *play) freshGeneration() {
	p.strip(isGen | isOld)
	p.set(seenBad|permanent|expired, false)
}

// sourceSays ends the source's one renewal.
func (p *play) sourceSays(outcome moveKind) {
	if p.is(overtaken) {
		p.overtake(outcome)
		return
	}
	p.set(renewing, false)
	switch outcome {
	case gotNew:
		p.freshGeneration()
		if p.phase == cooling {
			p.phase = cooled
		}
		if p.faulty(renewalCloses) {
			p.phase, p.count, p.run = shut, 0, 0
			p.strip(isLeased)
		}
	case gotPermanent:
		p.set(permanent, true)
	}
	for i, a := range p.who {
		switch {
		case !a.at(atSource):
		case outcome == gotNew:
			p.send(i)
		default:
			p.leave(i, failed)
		}
	}
	if p.stage == asking {
		p.learned(outcome)
	}
}

// overtake discards the result of a renewal that a rotation overtook; those who
// wait renew again.
func (p *play) overtake(outcome moveKind) {
	p.set(renewing|overtaken, false)
	if outcome == gotNew && p.faulty(publishesOvertaken) || outcome == gotPermanent && p.faulty(keepsOvertakenPermanent) {
		p.blame("I3: a renewal begun before a rotation had an effect after it")
	}
	if p.stage == asking || p.any(func(a agent) bool { return a.at(atSource) }) {
		p.renew()
	}
}

func (p *play) appoint(i int) {
	p.stage = trying
	p.send(i)
	p.who[i] |= isCanary
}

// settle is what follows at once from somebody having left. It returns those of
// whom one becomes the canary.
func (p *play) settle() (heirs []int) {
	canary := p.any(func(a agent) bool { return a.has(isCanary) })
	switch {
	case p.stage == asking && p.seats() == 0:
		p.abandon(false, true)
	case p.stage == pausing && p.seats() == 0:
		p.abandon(false, false)
	case p.stage == freed && !p.any(func(a agent) bool { return a.has(isFreed) && a.out() }):
		p.abandon(true, false)
	case p.stage == trying && !canary && !p.faulty(noPromotion):
		for i, a := range p.who {
			if a.at(seated) {
				heirs = append(heirs, i)
			}
		}
		if len(heirs) == 0 {
			p.abandon(true, false)
		}
	}
	lost := p.faulty(leaseLostOnCancel) && p.cause == cancels || p.faulty(leaseSurvivesNeutral) && p.cause == isNeutral
	if p.phase == half && !lost && !p.any(func(a agent) bool { return a.has(isLeased) }) {
		p.phase = cooled
	}
	return heirs
}

func (p *play) open() {
	p.phase, p.count, p.run = cooling, 0, 0
	if !p.is(seenBad) && !p.faulty(coolsUntried) {
		p.phase = cooled
	}
	p.strip(isLeased)
	if p.cause != limitOver {
		p.strip(isEpoch)
	}
}

// over ends the episode, forget drops the remembered one.
func (p *play) over() {
	p.stage, p.step = quiet, 0
	p.set(freedOnce, false)
	p.strip(isCanary | isFreed)
}

func (p *play) forget() {
	p.keep = 0
	p.set(keptDone|keptFreed|keptAsks, false)
	p.strip(isLatter)
}

func (p *play) abandon(done, asks bool) {
	step, used := p.step, p.is(freedOnce)
	p.over()
	p.forget()
	p.keep = step
	p.set(keptDone, done)
	p.set(keptAsks, asks)
	p.set(keptFreed, used)
	if p.faulty(abandonCounts) {
		p.count = min(p.count+1, opensAt)
	}
}
