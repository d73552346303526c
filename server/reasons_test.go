package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// ward is a gateway over two backends: a, which falls ill, and its neighbour b.
type ward struct {
	*rig
	d      *draft
	a, b   *backendtest.Server
	issuer *backendtest.Issuer
	began  time.Time
}

// ailment is what can be wrong with a backend, what says so and what helps.
type ailment struct {
	name string
	// server is how a is made, settings what stands beside its url. Words in
	// capitals are filled in, see ward.document.
	server   []backendtest.Option
	issued   bool // it takes the tokens of the ward's issuer alone
	settings string
	fall     func(w *ward)
	// calls is the reason that a call gets, "" for an answer; code the HTTP status in
	// its data.
	calls status.Reason
	code  int
	after int // and the time to wait that it is told, in ms
	// course is what the status is in the meantime, in turn: when clients call, and
	// when nobody does. It ends with ready/ok, by way of back if that is not empty.
	course, unasked []string
	back            []string
	message, fix    string // words that must be there
	mend            func(w *ward)
	// recovers is how long the way back may take: two probes, if zero.
	recovers time.Duration
	// sends bounds tools/call at the backend while the fault lasts, for 15 calls;
	// renewals those at the token server, with calls and without.
	sends, renewals int
	// reload is true where the fault or its mend is a reload, which asks the backend anew.
	reload bool
}

const (
	probing   = 10 * time.Second // the interval of probes here
	nextProbe = probing*11/10 + 2*time.Second
)

// document is the configuration, with other settings for a.
func (w *ward) document(settings string) string {
	fill := strings.NewReplacer("TOKENURL", w.issuer.TokenURL, "CLIENT", w.issuer.ClientID, "SECRET", w.issuer.ClientSecret, "BACKEND", w.a.URL, "ELSEWHERE", "http://"+w.a.Addr()+"/elsewhere")
	if !strings.Contains(settings, "url:") {
		settings = "url: BACKEND" + settings
	}
	return fmt.Sprintf("health: {interval: %s, timeout: 2s}\nmcpServers:\n  a: {%s}\n  b: {url: %q}", probing, fill.Replace(settings), w.b.URL)
}

// rewrite takes up other settings for a.
func (w *ward) rewrite(settings string) {
	w.t.Helper()
	w.d.write("%s", w.document(settings))
	w.reload()
	synctest.Wait()
}

// admit makes the ward: for use in a bubble. Both backends have been well for a minute.
func admit(t *testing.T, settings string, issued bool, server ...backendtest.Option) *ward {
	t.Helper()
	w := &ward{rig: &rig{t: t}, issuer: backendtest.NewIssuer(t, backendtest.WithPipe())}
	if issued {
		server = append(server[:len(server):len(server)], backendtest.WithBearer(w.issuer))
	}
	w.admitTo(t, settings, server...)
	return w
}

func (w *ward) admitTo(t *testing.T, settings string, server ...backendtest.Option) {
	t.Helper()
	w.a, w.b = mem(t, server...), mem(t)
	w.began = time.Now()
	w.rig, w.d = drafted(t, peers{w.a, w.b, w.issuer}, "%s", w.document(settings))
	sleep(time.Minute)
	w.wantState("a", "ready/ok", w.began, w.began)
	w.wantWhole(status.PhaseReady, http.StatusOK)
}

// seen is the status as the admin API tells it.
func (w *ward) seen() (s status.Status) {
	w.t.Helper()
	decode(w.t, w.admin("/api/v1/status"), &s)
	return s
}

func (w *ward) wantState(name, state string, from, to time.Time) status.Backend {
	w.t.Helper()
	b := of(w.t, w.seen(), name)
	if got := string(b.Status) + "/" + string(b.Reason); got != state || b.Since.Before(from) || b.Since.After(to) {
		w.t.Errorf("at %s: %s is %s since %s, want %s since %s to %s\n%+v", clock(time.Now()), name, got, clock(b.Since), state, clock(from), clock(to), b)
	}
	return b
}

func (w *ward) wantWhole(phase status.Phase, readyz int) {
	w.t.Helper()
	if got := w.seen().Phase; got != phase {
		w.t.Errorf("at %s: the phase is %s, want %s", clock(time.Now()), got, phase)
	}
	if got := w.admin("/readyz"); got.status != readyz {
		w.t.Errorf("at %s: /readyz %d %s, want %d", clock(time.Now()), got.status, got.body, readyz)
	}
}

// all returns the events of a kind about a backend, the oldest first.
func (w *ward) all(kind status.EventKind, backend string) (found []status.Event) {
	w.t.Helper()
	var events []status.Event
	decode(w.t, w.admin("/api/v1/events", "Accept", "application/json"), &events)
	for _, e := range events {
		if e.Kind == kind && e.Backend == backend {
			found = append(found, e)
		}
	}
	return found
}

// course is what the events say that the status of a was since a time, in turn.
func (w *ward) course(since time.Time) (states []string) {
	w.t.Helper()
	for _, e := range w.all(status.EventStatus, "a") {
		if !e.At.Before(since) {
			states = append(states, string(e.Status)+"/"+string(e.Reason))
		}
	}
	return states
}

// failure is the error that a client got.
type failure struct {
	Message string
	Data    struct {
		Backend, Reason, Hint string
		Status                int
		Attempts              int
		RetryAfterMs          int
		Since                 time.Time
	}
}

// failure returns the error of an answer, nil when there is none.
func (a answer) failure(t *testing.T) *failure {
	t.Helper()
	var out struct {
		Result json.RawMessage
		Error  *failure
	}
	doc := a.body
	if i := strings.LastIndex(doc, "data: "); strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") && i >= 0 {
		doc = doc[i+len("data: "):]
	}
	if err := json.Unmarshal([]byte(doc), &out); err != nil || a.status != http.StatusOK || (out.Error == nil) == (out.Result == nil) {
		t.Fatalf("neither a result nor an error under 200: %d %s", a.status, a.body)
	}
	return out.Error
}

// act has the admin API do something with a.
func (w *ward) act(action string) {
	w.t.Helper()
	if got := w.do(http.MethodPost, "http://"+adminAddr+"/api/v1/backends/a/"+action, "{}"); got.status != http.StatusOK {
		w.t.Errorf("%s: %d %s", action, got.status, got.body)
	}
	synctest.Wait()
}

// wantCall calls a tool of a and checks the reason and that the client is told what to do.
func (w *ward) wantCall(tool string, reason status.Reason, code int) *failure {
	w.t.Helper()
	f := w.call(tool).failure(w.t)
	switch {
	case f == nil && reason != "":
		w.t.Errorf("at %s: %s was answered, want %s", clock(time.Now()), tool, reason)
	case f == nil:
	case f.Data.Reason != string(reason):
		w.t.Errorf("at %s: the reason of %s is %q (%s), want %q", clock(time.Now()), tool, f.Data.Reason, f.Message, reason)
	case f.Data.Backend != "a" || f.Data.Hint == "" || f.Message == "" || f.Data.Status != code:
		w.t.Errorf("the error is %+v, want one of a with HTTP status %d and a hint", f, code)
	}
	return f
}

// wantWords checks that a status says everything that its reader needs.
func wantWords(t *testing.T, b status.Backend, message, fix string) {
	t.Helper()
	if b.Message == "" || b.Tried == "" || b.Fix == "" || b.ClientsSee == "" ||
		!strings.Contains(b.Message, message) || !strings.Contains(b.Fix, fix) {
		t.Errorf("message %q (want %q in it)\ntried %q\nfix %q (want %q in it)\nclients see %q", b.Message, message, b.Tried, b.Fix, fix, b.ClientsSee)
	}
}

// Each fault is seen under its own reason, at once or after the probes that it takes,
// with a fix; it is told once, costs what it may, does not touch the neighbour, and is
// over when the fix was followed. So it is when clients call, and when nobody does.
func TestEachReasonComesWithAFixThatWorks(t *testing.T) {
	for _, x := range ailments() {
		t.Run(x.name, func(t *testing.T) {
			t.Run("called", func(t *testing.T) { bubble(t, func(t *testing.T) { x.run(t, true) }) })
			if x.unasked != nil {
				t.Run("nobody calls", func(t *testing.T) { bubble(t, func(t *testing.T) { x.run(t, false) }) })
			}
		})
	}
}

func (x *ailment) run(t *testing.T, called bool) {
	w := admit(t, x.settings, x.issued, x.server...)
	sent, asked, posted := w.a.Requests("tools/call"), w.issuer.Requests(), asked(w.a)
	t0 := time.Now()
	x.fall(w)
	course := x.unasked
	if called {
		course = x.course
		if f := w.wantCall("a_echo", x.calls, x.code); f != nil && f.Data.RetryAfterMs != x.after {
			t.Errorf("call again after %d ms, want %d", f.Data.RetryAfterMs, x.after)
		}
		w.wantState("a", course[0], t0, t0.Add(2*time.Second)) // a call is seen at once
	}
	last := t0
	for i := range 30 { // five minutes
		sleep(10 * time.Second)
		if called && i%2 == 1 && i < 29 {
			w.wantCall("a_echo", x.calls, x.code)
		}
		b := of(t, w.seen(), "a")
		if i >= 4 { // it has taken its course
			wantWords(t, b, x.message, x.fix)
			if i > 4 && !b.Since.Equal(last) {
				t.Errorf("at %s: since was %s and is %s", clock(time.Now()), clock(last), clock(b.Since))
			}
			last = b.Since
			w.wantState("a", course[len(course)-1], t0, t0.Add(4*nextProbe))
			w.wantWhole(status.PhaseDegraded, http.StatusOK)
		}
	}
	w.wantState("b", "ready/ok", w.began, w.began)
	if f := w.call("b_echo").failure(t); f != nil {
		t.Errorf("a call of the neighbour: %+v", f)
	}
	if diff := cmp.Diff(course, w.told(x, t0)); diff != "" {
		t.Errorf("its status in turn, as events (-want +got):\n%s", diff)
	}
	if n := w.a.Requests("tools/call") - sent; n > x.sends {
		t.Errorf("%d sends in 15 calls, want at most %d", n, x.sends)
	}
	if n := w.issuer.Requests() - asked; n > x.renewals {
		t.Errorf("the token server was asked %d times, want at most %d", n, x.renewals)
	}
	if n := posted("server/discover"); n > 35+15*3 { // a call asks, too, while the revision is not known
		t.Errorf("%d probes in five minutes at one in %s", n, probing)
	}
	if n := posted("tools/list"); n > 35 {
		t.Errorf("%d lists read in five minutes", n)
	}

	t1 := time.Now()
	x.mend(w)
	switch {
	case x.recovers > 0:
	case x.back != nil:
		x.recovers = 4 * nextProbe // it has to answer three times
	default:
		x.recovers = nextProbe
	}
	for end := time.Now().Add(x.recovers); ; sleep(5 * time.Second) {
		if b := of(t, w.seen(), "a"); b.Status == status.BackendStatusReady || time.Now().After(end) {
			break
		}
		if called {
			w.call("a_echo")
		}
	}
	b := w.wantState("a", "ready/ok", t1, time.Now())
	if b.Fix != "" || b.ClientsSee != "" || b.Affected != 0 {
		t.Errorf("it is well and says fix %q, clients see %q, affected %d", b.Fix, b.ClientsSee, b.Affected)
	}
	w.wantCall("a_echo", "", 0)
	sleep(5 * time.Minute)
	w.wantState("a", "ready/ok", b.Since, b.Since)
	w.wantWhole(status.PhaseReady, http.StatusOK)
	whole := slices.Concat(course, x.back, []string{"ready/ok"})
	if diff := cmp.Diff(whole, w.told(x, t0)); diff != "" {
		t.Errorf("its status in turn, as events (-want +got):\n%s", diff)
	}
}

// told is the course since a time. Where a backend was written anew it leaves out that
// it had not been asked then, and the same state once more.
func (w *ward) told(x *ailment, since time.Time) (states []string) {
	w.t.Helper()
	for _, s := range w.course(since) {
		if n := len(states); n > 0 && x.issued && s == "unavailable/auth_refused" {
			continue // renewed in the background, and no call has tried the open breaker since
		} else if x.reload && (s == "unknown/connecting" || n > 0 && states[n-1] == s) {
			continue
		}
		states = append(states, s)
	}
	return states
}
