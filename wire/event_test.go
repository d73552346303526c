package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readEvents reads all events of r, with copies of their data.
func readEvents(r io.Reader, maxEvent int) (list []Event, err error) {
	er := NewEventReader(r, maxEvent)
	for {
		ev, err := er.Next()
		if err != nil {
			return list, err
		}
		ev.Data = append([]byte{}, ev.Data...)
		list = append(list, ev)
	}
}

func TestEventReader(t *testing.T) {
	ev := func(data string) Event { return Event{Data: []byte(data)} }
	for _, tc := range []struct {
		name, in string
		want     []Event
		err      error
	}{
		{"nothing", "", nil, io.EOF},
		{"one", "data: x\n\n", []Event{ev("x")}, io.EOF},
		{"CRLF", "data: x\r\n\r\ndata: y\r\n\r\n", []Event{ev("x"), ev("y")}, io.EOF},
		{"CR", "data: x\r\rdata: y\r\r", []Event{ev("x"), ev("y")}, io.EOF},
		{"mixed line ends", "data: a\rdata: b\ndata: c\r\n\r\ndata: d\n\r\n", []Event{ev("a\nb\nc"), ev("d")}, io.EOF},
		{"byte order mark", "\xEF\xBB\xBFdata: x\n\n", []Event{ev("x")}, io.EOF},
		{"byte order mark later is a field's name", "data: x\n\n\xEF\xBB\xBFdata: y\n\n", []Event{ev("x")}, io.EOF},
		{"comments", ": hi\n\n:\ndata: x\n: in between\ndata: y\n\n", []Event{ev("x\ny")}, io.EOF},
		{"no space, more space", "data:x\ndata:  y\n\n", []Event{ev("x\n y")}, io.EOF},
		{"empty data", "data\n\ndata:\n\ndata: \ndata:\n\n", []Event{ev(""), ev(""), ev("\n")}, io.EOF},
		{"fields", "event: message\nid: 7\nretry: 1500\ndata: x\n\n",
			[]Event{{Type: "message", ID: "7", Retry: 1500 * time.Millisecond, Data: []byte("x")}}, io.EOF},
		{"other type", "event: ping\ndata: x\n\n", []Event{{Type: "ping", Data: []byte("x")}}, io.EOF},
		{"an id stays", "id: 1\ndata: x\n\ndata: y\n\nid\ndata: z\n\n",
			[]Event{{ID: "1", Data: []byte("x")}, {ID: "1", Data: []byte("y")}, ev("z")}, io.EOF},
		{"an id alone stays", "id: 1\n\ndata: x\n\n", []Event{{ID: "1", Data: []byte("x")}}, io.EOF},
		{"id with NUL is ignored", "id: 1\x002\ndata: x\n\n", []Event{ev("x")}, io.EOF},
		{"bad retry is ignored", "retry: 1s\ndata: x\n\n", []Event{ev("x")}, io.EOF},
		{"enormous retry", "retry: 99999999999999999999\ndata: x\n\n", []Event{{Retry: 24 * time.Hour, Data: []byte("x")}}, io.EOF},
		{"unknown fields", "foo: 1\nDATA: y\n data: z\ndata: x\n\n", []Event{ev("x")}, io.EOF},
		{"colons in the value", "data: a: b\n\n", []Event{ev("a: b")}, io.EOF},
		{"cut in a line", "data: x\n\ndata: y", []Event{ev("x")}, ErrTruncated},
		{"cut before the blank line", "data: x\n", nil, ErrTruncated},
		{"cut after CR of the blank line", "data: x\r\n\r", []Event{ev("x")}, io.EOF},
		{"ends after a comment", "data: x\n\n: bye\n", []Event{ev("x")}, io.EOF},
		{"cut in a comment", "data: x\n\n: by", []Event{ev("x")}, ErrTruncated},
		{"many blank lines", "\n\n\r\n\rdata: x\n\n\n\n", []Event{ev("x")}, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range sources(tc.in) {
				got, err := readEvents(r, 0)
				if !errors.Is(err, tc.err) {
					t.Errorf("%s: error %v, want %v", how, err, tc.err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s: %s", how, diff)
				}
			}
		})
	}
}

func TestEventReaderBoundsAnEvent(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1000) + "\n"
	for _, in := range []string{
		line + "\n",
		strings.Repeat("data: x\n", 200) + "\n",
		strings.Repeat("x", 5000),
		"data: x\n\n: " + strings.Repeat("c", 2000) + "\n\n",
	} {
		for how, r := range sources(in) {
			if _, err := readEvents(r, 1000); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%.20q, %s: %v", in, how, err)
			}
		}
	}
	for how, r := range sources(line + "\n" + line + "\n") {
		if got, err := readEvents(r, 1008); len(got) != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("two that just fit, %s: %d, %v", how, len(got), err)
		}
	}
}

func TestEventReaderKeepsIDAndRetry(t *testing.T) {
	er := NewEventReader(strings.NewReader("id: 5\nretry: 10\n\ndata: x\n\nid: 6\n\n"), 0)
	for _, want := range []string{"5", "6"} {
		_, err := er.Next()
		if er.LastID() != want || er.Retry() != 10*time.Millisecond {
			t.Errorf("id %q, retry %v, %v", er.LastID(), er.Retry(), err)
		}
	}
}

func TestEventReaderPassesTheSourcesError(t *testing.T) {
	reset := errors.New("reset")
	for end, want := range map[error]error{reset: reset, io.ErrUnexpectedEOF: ErrTruncated} {
		got, err := readEvents(io.MultiReader(strings.NewReader("data: x\n\n"), iotest.ErrReader(end)), 0)
		if len(got) != 1 || !errors.Is(err, want) {
			t.Errorf("%d events, %v", len(got), err)
		}
	}
}

// Events of many sizes, on both sides of those of the buffers.
func TestEventReaderThroughAllBuffers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var in []byte
	var want []Event
	for _, size := range []int{1, 100, chunkSize - 8, chunkSize, 10, 9 * chunkSize, 3, 64*chunkSize - 8, 70 * chunkSize, 5} {
		ev := Event{Data: []byte(strings.Repeat("d", size))}
		in = AppendEvent(in, ev)
		want = append(want, ev)
	}
	got, err := readEvents(&chunked{in[:len(in):len(in)], rnd}, 0)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].Data, want[i].Data) {
			t.Errorf("event %d differs: %d bytes, want %d", i, len(got[i].Data), len(want[i].Data))
		}
	}
}

func TestAppendEventCannotBreakTheFraming(t *testing.T) {
	for _, tc := range []struct {
		ev   Event
		wire string
	}{
		{Event{}, "data: \n\n"},
		{Event{Type: "message", ID: "1", Retry: time.Second, Data: []byte("x")}, "event: message\nid: 1\nretry: 1000\ndata: x\n\n"},
		{Event{Data: []byte("a\nb\r\nc\rd")}, "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		{Event{Data: []byte("a\n")}, "data: a\ndata: \n\n"},
		{Event{Type: "x\ndata: evil", ID: "y\r\n\r\n", Data: []byte(" z")}, "event: x\nid: y\ndata:  z\n\n"},
	} {
		if got := string(AppendEvent(nil, tc.ev)); got != tc.wire {
			t.Errorf("%+v: %q", tc.ev, got)
		}
	}
}

// What a large event took is not kept for the next one.
func TestEventReaderKeepsLittleBetweenEvents(t *testing.T) {
	er := NewEventReader(strings.NewReader("id: "+strings.Repeat("i", 4097)+"\n"+strings.Repeat("data: 0123456789\n", 20000)+"\nid: "+strings.Repeat("j", 4096)+"\ndata: x\n\ndata: y\n\n"), 0)
	for _, want := range []int{20000*11 - 1, 1, 1} {
		if ev, err := er.Next(); err != nil || len(ev.Data) != want {
			t.Fatal(len(ev.Data), err)
		}
		if n := cap(er.f.join) + 16*cap(er.f.fr.more); n > 2*chunkSize {
			t.Errorf("holds %d bytes", n)
		}
	}
	if len(er.LastID()) != 4096 || er.LastID()[0] != 'j' {
		t.Errorf("an id of %d bytes", len(er.LastID()))
	}
}
