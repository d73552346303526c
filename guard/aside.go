package guard

// Probes and streams stand aside: they may start a renewal, and never count nor lead.

// admitAside lets a probe's or a stream's send go, whatever the breaker says.
func (g *Guard[C]) admitAside(c *call[C]) order {
	g.lock()
	defer g.unlock()
	if g.closed {
		return g.fail(c, Shutdown, ErrClosed)
	}
	g.depart(c)
	return order{kind: transmit}
}

// judgeAside applies the verdict on a probe's or a stream's send. An order of
// kind private asks for a renewal.
func (g *Guard[C]) judgeAside(c *call[C], v Verdict) order {
	g.lock()
	defer g.unlock()
	if v == Denied {
		v = g.denied(c)
	}
	switch v {
	case Accepted:
		if c.class == Probe {
			g.accept(c)
		}
	case Refused, Invalid:
		g.note(c)
		if c.class == Probe {
			g.refs[List] = true
		}
		return order{kind: private, refusal: g.refusalLocked(Unretried, nil)}
	case Denied:
		return g.fail(c, Forbade, nil)
	case Scope:
		return g.fail(c, ScopeMissing, nil)
	case Again:
		g.depart(c)
		return order{kind: transmit, cause: Resend}
	}
	return order{kind: finish}
}
