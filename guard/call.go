package guard

import "time"

// role is what a call is in the running episode.
type role uint8

const (
	bystander role = iota
	waiter
	canary
	released
)

// call is one call on its way through the guard.
type call[C Credential] struct {
	class Class
	sends int    // sends that count toward the limit
	tries int    // all attempts, for the report
	gen   uint64 // of the last send
	stamp uint64 // epoch and exhaustions when it left
	post  uint64 // the remembered episode whose wait was over when it left
	wake  chan order

	ep     *episode[C] // its role holds only while this is the running episode
	role   role
	joined bool
	done   bool
	delay  time.Duration
	waited time.Duration
}

func newCall[C Credential](class Class) *call[C] {
	return &call[C]{class: class, wake: make(chan order, 1)}
}

func (c *call[C]) pause(d time.Duration) {
	c.delay += d
	c.waited += d
}

// kind is the class as evidence: a probe proves what a list proves.
func (c *call[C]) kind() Class {
	if c.class == Call {
		return Call
	}
	return List
}

// An order tells a call what to do next.
type order struct {
	kind    orderKind
	cause   Cause
	wait    time.Duration
	renew   bool
	refusal *Refusal
}

type orderKind uint8

const (
	transmit orderKind = iota
	await
	private
	finish
)
