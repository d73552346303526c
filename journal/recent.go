package journal

import "time"

const (
	slice = 5 * time.Second
	parts = 12 // of a minute
)

// recent counts the requests of the last minute in slices.
type recent struct {
	counts [parts]struct{ at, requests, failed int64 }
	since  int  // answered since the last that failed
	call   bool // that was a call
}

func (r *recent) add(at time.Time, call, well bool) {
	n := at.UnixNano() / int64(slice)
	c := &r.counts[n%parts]
	if c.at != n {
		c.at, c.requests, c.failed = n, 0, 0
	}
	c.requests++
	switch {
	case !well:
		c.failed++
		r.since, r.call = 0, call
	case call || !r.call:
		r.since++
	}
}

func (r *recent) count(now time.Time) (requests, failed, since int) {
	n := now.UnixNano() / int64(slice)
	for i := range r.counts {
		if c := &r.counts[i]; n-c.at < parts {
			requests += int(c.requests)
			failed += int(c.failed)
		}
	}
	return requests, failed, r.since
}
