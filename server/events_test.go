package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

func (w *ward) every() (all []status.Event) {
	w.t.Helper()
	decode(w.t, w.admin("/api/v1/events", "Accept", "application/json"), &all)
	return all
}

// Whatever changes is one event, with what it is now; ids ascend, and so do times but
// for those of what was going on at once.
func TestEachChangeIsOneEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
		w := &ward{rig: &rig{t: t}, issuer: issuer}
		w.admitTo(t, granted, backendtest.WithBearer(issuer))
		mints := issuer.Mints()
		last := w.every()[len(w.every())-1].ID

		issuer.Revoke() // one renewal, and the client notices nothing
		w.wantCall("a_echo", "", 0)
		w.a.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call")) // every new token is refused, too
		for range 5 {
			w.wantCall("a_echo", status.ReasonAuthRefused, 401)
			sleep(5 * time.Second)
		}
		w.wantCall("a_echo", status.ReasonAuthRefused, 401)
		w.a.Heal()
		sleep(2 * time.Minute)
		w.wantCall("a_echo", "", 0)
		sleep(time.Second)

		var breaker, states []string
		renewals := 0
		for _, e := range w.every() {
			if e.ID <= last {
				continue
			}
			last = e.ID
			switch {
			case e.Backend != "a" && e.Kind != status.EventPhase:
				t.Errorf("an event of the neighbour: %+v", e)
			case e.Kind == status.EventStatus:
				states = append(states, string(e.Status)+"/"+string(e.Reason))
			case e.Kind == status.EventBreaker:
				breaker = append(breaker, strings.Fields(e.Message)[1])
			case e.Kind == status.EventRenewal:
				renewals++
			}
			if e.ID == 0 || e.At.IsZero() || e.Level == "" || e.Message == "" || strings.Contains(e.Message, "\n") {
				t.Errorf("%+v", e)
			}
		}
		if diff := cmp.Diff([]string{"unavailable/auth_refused", "ready/ok"}, states); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"open,", "half_open,", "closed,"}, breaker); diff != "" {
			t.Errorf("breaker (-want +got):\n%s", diff)
		}
		wantCount(t, "events of renewals, as the token server minted", renewals, issuer.Mints()-mints)
	})
}

// Refusals are told once a second at most, and the count says for how many.
func TestRefusalsAreToldAtMostOnceASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, bearer+", authRetry: {maxRetries: 0, openAfter: 1000}", false, backendtest.WithToken("good"))
		w.a.SetTokens("better")
		const calls = 100
		for range calls {
			w.wantCall("a_echo", status.ReasonAuthRefused, 401)
			sleep(100 * time.Millisecond)
		}
		sleep(2 * time.Second)
		w.wantCall("a_echo", status.ReasonAuthRefused, 401) // tells of those before it
		told, last := 0, time.Time{}
		for _, e := range w.all(status.EventRefusal, "a") {
			if e.At.Sub(last) < time.Second {
				t.Errorf("%s after the one before: %+v", e.At.Sub(last), e)
			}
			last = e.At
			told += max(e.Count, 1)
		}
		wantCount(t, "refusals told", told, calls+1)
	})
}

// follower reads the stream of events.
type follower struct {
	ids  []uint64 // until it is done
	seen chan status.Event
	stop context.CancelFunc
	done chan struct{}
}

func (w *ward) follow(after uint64, query string) *follower {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	f := &follower{stop: cancel, done: make(chan struct{}), seen: make(chan status.Event, 1000)}
	req := w.request(http.MethodGet, "http://"+adminAddr+"/api/v1/events"+query, "", "Accept", "text/event-stream").WithContext(ctx)
	if after > 0 {
		req.Header.Set("Last-Event-ID", fmt.Sprint(after))
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(ct, "text/event-stream") {
		w.t.Fatalf("%d %s", resp.StatusCode, ct)
	}
	go func() {
		defer close(f.done)
		defer close(f.seen)
		defer resp.Body.Close()
		event := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				event = value
			case name == "data" && event == "event":
				var e status.Event
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					w.t.Errorf("%s: %v", value, err)
				}
				f.ids = append(f.ids, e.ID)
				f.seen <- e
			}
		}
	}()
	return f
}

func (f *follower) end() []uint64 {
	synctest.Wait()
	f.stop()
	<-f.done
	return f.ids
}

// Who follows the events and comes back with the last id misses nothing and sees
// nothing twice, however often he loses the stream.
func TestAFollowerMissesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, bearer, false, backendtest.WithToken("good"))
		var got []uint64
		for turn := range 10 {
			after := uint64(0)
			if len(got) > 0 {
				after = got[len(got)-1]
			}
			f := w.follow(after, "")
			w.a.SetTokens([]string{"better", "good"}[turn%2])
			w.call("a_echo")
			sleep(3 * time.Second)
			got = append(got, f.end()...)
			w.a.SetTokens("neither") // nobody follows
			w.call("a_echo")
			w.b.Inject(backendtest.Status(502, 1))
			w.call("b_echo")
			sleep(20 * time.Second)
		}
		f := w.follow(got[len(got)-1], "")
		got = append(got, f.end()...)
		var want, ofA []uint64
		for _, e := range w.every() {
			want = append(want, e.ID)
			if e.Backend == "a" {
				ofA = append(ofA, e.ID)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events that the follower saw (-there were +saw):\n%s", diff)
		}
		if len(want) < 60 || want[0] != 1 {
			t.Errorf("%d events, from %d: the test has shown little", len(want), want[0])
		}
		f = w.follow(0, "?backend=a")
		if diff := cmp.Diff(ofA, f.end()); diff != "" {
			t.Errorf("of a (-want +got):\n%s", diff)
		}
		f = w.follow(0, fmt.Sprintf("?after=%d", want[9]))
		if diff := cmp.Diff(want[10:], f.end()); diff != "" {
			t.Errorf("after the tenth (-want +got):\n%s", diff)
		}
	})
}
