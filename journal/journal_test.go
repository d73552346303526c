package journal_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/journal"
	"github.com/recloser-mcp/recloser/status"
)

var start = time.Date(2026, 3, 4, 5, 0, 30, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

func messages(events []status.Event) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d %s", e.ID, e.Message))
	}
	return all
}

func TestEventsComeInOrderAndAfterAnID(t *testing.T) {
	j := journal.New()
	for i, name := range []string{"a", "", "b", "a"} {
		j.Add(status.Event{Kind: status.EventStatus, Backend: name, Message: fmt.Sprint(i)})
	}
	for _, test := range []struct {
		after   uint64
		backend string
		want    []string
	}{
		{0, "", []string{"1 0", "2 1", "3 2", "4 3"}},
		{2, "", []string{"3 2", "4 3"}},
		{0, "a", []string{"1 0", "4 3"}},
		{1, "a", []string{"4 3"}},
		{0, "nobody", nil},
		{4, "", nil},
	} {
		if diff := cmp.Diff(test.want, messages(j.Events(test.after, test.backend))); diff != "" {
			t.Errorf("after %d of %q (-want +got):\n%s", test.after, test.backend, diff)
		}
	}
	if j.Last() != 4 {
		t.Errorf("the last is %d", j.Last())
	}
	for _, e := range j.Events(0, "") {
		if e.At.IsZero() {
			t.Error("an event has no time")
		}
	}
}

// A backend with much to tell does not push out what others told.
func TestEventsAreBoundedForEachBackend(t *testing.T) {
	j := journal.New()
	j.Add(status.Event{Backend: "quiet", Message: "once"})
	j.Add(status.Event{Message: "of the gateway"})
	for i := range 10_000 {
		j.Add(status.Event{Kind: status.EventStatus, Backend: "noisy", Message: fmt.Sprint(i)})
	}
	all := j.Events(0, "")
	if len(all) != 130 || all[0].Message != "once" || all[1].Message != "of the gateway" || all[129].Message != "9999" {
		t.Errorf("%d events, from %q to %q", len(all), all[0].Message, all[len(all)-1].Message)
	}
	j.Keep(func(name string) bool { return name != "noisy" })
	if got := j.Events(0, ""); len(got) != 2 {
		t.Errorf("%d events after the backend is gone", len(got))
	}
}

func TestNewsWakeWhoWaits(t *testing.T) {
	j := journal.New()
	news := j.News()
	select {
	case <-news:
		t.Fatal("there are news before there are any")
	default:
	}
	j.Add(status.Event{Message: "x"})
	select {
	case <-news:
	default:
		t.Fatal("nobody was woken")
	}
}

func TestRefusalsAreToldOnceASecondWithTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.New()
		for range 25 { // ten a second
			j.Add(status.Event{Kind: status.EventRefusal, Backend: "a"})
			time.Sleep(100 * time.Millisecond)
		}
		j.Add(status.Event{Kind: status.EventRefusal, Backend: "b"})
		if len(j.Events(0, "b")) != 1 {
			t.Error("the refusal of another backend was not told")
		}
		time.Sleep(time.Minute) // nothing follows
		j.Add(status.Event{Kind: status.EventRefusal, Backend: "a"})
		var counts []int
		told := 0
		for _, e := range j.Events(0, "a") {
			counts = append(counts, e.Count)
			told += max(e.Count, 1)
		}
		if told != 26 || len(counts) != 5 || counts[0] != 0 || counts[4] != 0 {
			t.Errorf("26 refusals are told as %v", counts)
		}
	})
}

func TestAnHourOfMinutes(t *testing.T) {
	j := journal.New()
	r := j.Record("a")
	r.State(at(0), status.BackendStatusReady)
	for i := range 100 {
		took := 10 * time.Millisecond
		if i >= 90 {
			took = time.Second
		}
		r.Call(journal.Call{At: at(0), Took: took, Outcome: status.OutcomeOK})
	}
	r.Call(journal.Call{At: at(time.Minute), Outcome: status.OutcomeFailed})
	r.State(at(time.Minute), status.BackendStatusUnavailable)
	r.Call(journal.Call{At: at(2 * time.Minute), Outcome: status.OutcomeRecovered})
	r.State(at(2*time.Minute), status.BackendStatusReady)

	h := r.History(at(4 * time.Minute)).Minutes
	if len(h) != 60 {
		t.Fatalf("%d minutes", len(h))
	}
	type minute struct {
		Status              status.BackendStatus
		Calls, Failed, Save uint64
	}
	var got []minute
	for _, m := range h[54:] {
		got = append(got, minute{m.Status, m.Calls, m.Failed, m.Saved})
	}
	want := []minute{
		{}, // before the start
		{status.BackendStatusReady, 100, 0, 0},
		{status.BackendStatusUnavailable, 1, 1, 0},
		{status.BackendStatusUnavailable, 1, 0, 1}, // it began so
		{status.BackendStatusReady, 0, 0, 0},
		{status.BackendStatusReady, 0, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("minutes (-want +got):\n%s", diff)
	}
	if p95 := time.Duration(h[55].P95); p95 < 900*time.Millisecond || p95 > time.Second {
		t.Errorf("p95 is %s where one in ten takes a second", p95)
	}
	if n := r.Saved(at(4 * time.Minute)); n != 1 {
		t.Errorf("%d saved in the last hour", n)
	}
	if n := r.Saved(at(63 * time.Minute)); n != 0 {
		t.Errorf("%d saved in the last hour, an hour later", n)
	}
	h = r.History(at(100 * time.Hour)).Minutes
	for _, m := range h {
		if m.Calls != 0 || m.Status != status.BackendStatusReady {
			t.Fatalf("after a long pause a minute reads %+v", m)
		}
	}
}

func TestRequestsWorthALook(t *testing.T) {
	r := journal.New().Record("a")
	noted := map[status.Outcome]int{}
	for i := range 100 { // ten a second
		for _, o := range []status.Outcome{status.OutcomeOK, status.OutcomeRecovered, status.OutcomeFailed} {
			if r.Call(journal.Call{At: at(time.Duration(i) * 100 * time.Millisecond), Outcome: o}) {
				noted[o]++
			}
		}
	}
	want := map[status.Outcome]int{status.OutcomeOK: 10, status.OutcomeRecovered: 100, status.OutcomeFailed: 100}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	for i := range 1000 {
		r.Request(status.Request{Name: fmt.Sprint(i)})
	}
	if all := r.Requests(); len(all) != 64 || all[0].Name != "999" || all[63].Name != "936" {
		t.Errorf("%d requests, from %s to %s", len(all), all[0].Name, all[len(all)-1].Name)
	}
}

func TestRecentIsAMinute(t *testing.T) {
	r := journal.New().Record("a")
	for i := range 10 {
		r.Answered(at(time.Duration(i)*time.Second), true, i != 4)
	}
	if n, failed, since := r.Recent(at(10 * time.Second)); n != 10 || failed != 1 || since != 5 {
		t.Errorf("%d requests, %d failed, %d since", n, failed, since)
	}
	if n, failed, since := r.Recent(at(2 * time.Minute)); n != 0 || failed != 0 || since != 5 {
		t.Errorf("later: %d requests, %d failed, %d since", n, failed, since)
	}
}

// What is answered after a failure speaks for the backend if it is a call, or if the
// failure was none.
func TestProbesDoNotSettleWhatCallsBroke(t *testing.T) {
	for _, failed := range []bool{false, true} {
		r := journal.New().Record("a")
		r.Answered(at(0), failed, false)
		for _, call := range []bool{false, false, true} {
			r.Answered(at(time.Second), call, true)
		}
		want := 3
		if failed {
			want = 1
		}
		if _, _, since := r.Recent(at(time.Second)); since != want {
			t.Errorf("a call failed: %v. %d answered since, want %d", failed, since, want)
		}
	}
}

func TestACallThatIsWellCostsNoAllocation(t *testing.T) {
	r := journal.New().Record("a")
	r.Call(journal.Call{At: at(0)})
	if n := testing.AllocsPerRun(1000, func() {
		r.Call(journal.Call{At: at(time.Millisecond), Took: time.Millisecond, Outcome: status.OutcomeOK})
		r.Answered(at(time.Millisecond), true, true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	r := journal.New().Record("a")
	b.ReportAllocs()
	for b.Loop() {
		r.Call(journal.Call{At: start, Took: time.Millisecond, Outcome: status.OutcomeOK})
	}
}
