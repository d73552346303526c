package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// often is how often followers learn that something changed that is no event.
	often = 250 * time.Millisecond
	// keepAlive is the time between two comments on a stream that has nothing to
	// tell, so that it is seen to live.
	keepAlive = 15 * time.Second
	// stalled bounds a write to a follower that does not read.
	stalled = 30 * time.Second
)

// events answers with what happened: as a stream of events that goes on, or as an
// array for those that want JSON only.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	after, ok := position(r)
	if !ok {
		complain(w, http.StatusBadRequest, "after is the id of an event, a number")
		return
	}
	backend := r.URL.Query().Get("backend")
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/event-stream") {
		writeJSON(w, http.StatusOK, h.o.Journal.Events(after, backend))
		return
	}
	if after > h.o.Journal.Last() {
		after = 0 // of a gateway that ran before this one
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	f := &follower{h: h, w: w, out: http.NewResponseController(w), backend: backend, after: after}
	f.run(r)
}

// position is where a follower goes on.
func position(r *http.Request) (after uint64, ok bool) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return 0, true
	}
	after, err := strconv.ParseUint(text, 10, 64)
	return after, err == nil
}

// follower is a stream to one client.
type follower struct {
	h       *handler
	w       http.ResponseWriter
	out     *http.ResponseController
	backend string
	after   uint64
	seen    uint64 // the version of what is no event
}

func (f *follower) run(r *http.Request) {
	f.seen = f.h.o.Journal.Version()
	tick := time.NewTicker(often)
	defer tick.Stop()
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	if !f.write(": welcome\n\n") {
		return
	}
	for {
		news := f.h.o.Journal.News() // asked for before the look, so that nothing is missed
		if !f.catchUp() {
			return
		}
		select {
		case <-news:
		case <-tick.C:
			if v := f.h.o.Journal.Version(); v != f.seen {
				if f.seen = v; !f.write("event: status\ndata: {}\n\n") {
					return
				}
			}
		case <-alive.C:
			if !f.write(": alive\n\n") {
				return
			}
		case <-f.h.o.Done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// catchUp sends what the follower has not seen.
func (f *follower) catchUp() bool {
	for _, e := range f.h.o.Journal.Events(f.after, f.backend) {
		data, err := json.Marshal(e)
		if err != nil {
			return false // of plain data: it does not happen
		}
		if !f.write("id: " + strconv.FormatUint(e.ID, 10) + "\nevent: event\ndata: " + string(data) + "\n\n") {
			return false
		}
		f.after = e.ID
	}
	return true
}

func (f *follower) write(text string) bool {
	_ = f.out.SetWriteDeadline(time.Now().Add(stalled)) // where the server has deadlines
	_, err := f.w.Write([]byte(text))
	return err == nil && f.out.Flush() == nil
}
