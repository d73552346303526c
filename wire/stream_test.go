package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const (
	progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`
	sampling = `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}`
	answered = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	mapped   = `{"jsonrpc":"2.0","id":"c-1","result":{"content":[],"resultType":"complete"}}`
	failed   = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"m"}}`
)

var modernCallAnswer = RewriteOptions{ID: []byte(`"c-1"`), Members: ModernMembers(MethodToolsCall)}

func event(data string) string { return "event: message\ndata: " + data + "\n\n" }

func TestStreamRewriter(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, tc := range []struct {
		name, in, want string
		err            error
		o              StreamOptions
	}{
		{name: "only the answer", in: event(answered), want: event(mapped)},
		{name: "notifications keep their framing",
			in:   "\xEF\xBB\xBF:\r\n\r\nid:1\rdata:" + progress + "\r\r: c\n" + event(progress) + "foo\n\n\n" + event(answered) + ":bye\n",
			want: "\xEF\xBB\xBF:\r\n\r\nid:1\rdata:" + progress + "\r\r: c\n" + event(progress) + "foo\n\n\n" + event(mapped) + ":bye\n"},
		{name: "a request keeps its id", in: event(sampling) + event(answered), want: event(sampling) + event(mapped)},
		{name: "the framing of a rewritten event stays",
			in:   "id: 5\r\ndata:" + answered + "\r\nevent: message\r\n: c\r\n\r\n",
			want: "id: 5\r\ndata:" + mapped + "\r\nevent: message\r\n: c\r\n\r\n"},
		{name: "an answer of several lines",
			in:   "id: 5\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\nevent: message\ndata: \"result\":{}}\n\n",
			want: "id: 5\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":\"c-1\",\ndata: \"result\":{\"resultType\":\"complete\"}}\nevent: message\n\n"},
		{name: "a notification of several lines",
			in:   "data: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"x\"}\n\n" + event(answered),
			want: "data: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"x\"}\n\n" + event(mapped)},
		{name: "an answer that needs nothing keeps its bytes",
			in:   "data:  " + mapped + " \n\n",
			want: "data:  " + mapped + " \n\n"},
		{name: "an error answer", in: event(failed), want: event(strings.Replace(failed, "1", `"c-1"`, 1))},
		{name: "a large answer",
			in:   event(progress) + event(`{"id":1,"result":{"t":"`+long+`"}}`) + ": end\n\n",
			want: event(progress) + event(`{"id":"c-1","result":{"t":"`+long+`","resultType":"complete"}}`) + ": end\n\n"},
		{name: "a large answer with the id behind",
			in:   event(`{"result":{"t":"` + long + `"},"id":1}`),
			want: event(`{"result":{"t":"` + long + `","resultType":"complete"},"id":"c-1"}`)},
		{name: "priming events and other types pass",
			in:   "id: 1\ndata:\n\nretry: 5\n\nevent: ping\ndata: 12:30\n\n" + event(answered),
			want: "id: 1\ndata:\n\nretry: 5\n\nevent: ping\ndata: 12:30\n\n" + event(mapped)},
		{name: "an answer of another type is an answer", in: "event: x\ndata: " + answered + "\n\n", want: "event: x\ndata: " + mapped + "\n\n"},
		{name: "a second answer is dropped", in: event(answered) + event(answered) + event(progress), want: event(mapped) + event(progress)},
		{name: "what is no message is dropped",
			in:   event(`{"hello":1}`) + event(`{"jsonrpc":"2.0","id":null,"method":"x"}`) + event(answered),
			want: event(mapped)},
		{name: "ids can be dropped", o: StreamOptions{DropIDs: true},
			in:   "id: 1\ndata: \n\nretry: 5\n\nid: 2\nevent: message\ndata: " + progress + "\n\n: c\n\nid: 3\ndata: " + answered + "\n\n",
			want: "event: message\ndata: " + progress + "\n\n: c\n\ndata: " + mapped + "\n\n"},
		{name: "ends without an answer", in: event(progress), want: event(progress), err: ErrTruncated},
		{name: "ends within the answer", in: event(progress) + "data: " + answered + "\n", want: event(progress), err: ErrTruncated},
		{name: "ends within an event after the answer", in: event(answered) + "data: {", want: event(mapped)},
		{name: "ends within a batch after the answer", in: event(answered) + event("[]") + event(progress), want: event(mapped)},
		{name: "empty", err: ErrTruncated},
		{name: "a standing stream may end", in: event(progress), want: event(progress), o: StreamOptions{Standing: true}},
		{name: "but not within an event", in: event(progress) + "data: x\n", want: event(progress), err: ErrTruncated, o: StreamOptions{Standing: true}},
		{name: "answers on a standing stream are dropped", in: event(answered) + event(progress), want: event(progress), o: StreamOptions{Standing: true}},
		{name: "not JSON", in: event(progress) + event("{oops") + event(answered), want: event(progress), err: ErrInvalid},
		{name: "a number", in: event("12"), err: ErrInvalid},
		{name: "a batch", in: event("[" + answered + "]"), err: ErrInvalid},
		{name: "a batch of another type", in: "event: x\ndata: [" + answered + "]\n\n", err: ErrInvalid},
		{name: "an answer with two ids", in: event(`{"id":1,"result":{},"id":2}`), err: ErrInvalid},
		{name: "an event too large", in: event(progress) + event(answered), want: event(progress), err: ErrTooLarge,
			o: StreamOptions{MaxEvent: len(event(progress))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "an event too large" {
				tc.in = event(progress) + event(answered+strings.Repeat(" ", 100))
			}
			tc.o.Rewrite = modernCallAnswer
			for how, r := range sources(tc.in) {
				got, err := io.ReadAll(NewStreamRewriter(r, tc.o))
				if !errors.Is(err, tc.err) {
					t.Errorf("%s: error %v, want %v", how, err, tc.err)
				}
				if diff := cmp.Diff(tc.want, string(got)); diff != "" {
					t.Errorf("%s: %s", how, diff)
				}
			}
			for how, r := range sources(tc.in) {
				var got bytes.Buffer
				n, err := NewStreamRewriter(r, tc.o).WriteTo(&got)
				if !errors.Is(err, tc.err) || got.String() != tc.want || n != int64(got.Len()) {
					t.Errorf("%s, WriteTo: %d, %v, %q", how, n, err, got.String())
				}
			}
			s := NewStreamRewriter(strings.NewReader(tc.in), tc.o)
			got, err := io.ReadAll(iotest.OneByteReader(s))
			if !errors.Is(err, tc.err) || string(got) != tc.want {
				t.Errorf("read by the byte: %v, %q", err, got)
			}
		})
	}
}

func TestStreamRewriterShowsEachMessage(t *testing.T) {
	var seen []string
	o := StreamOptions{Rewrite: modernCallAnswer, Each: func(e *Envelope, raw []byte) (Action, []byte) {
		seen = append(seen, e.Kind.String()+" "+e.Method+" "+string(raw))
		switch e.Kind {
		case Notification:
			return Replace, []byte("{\"jsonrpc\":\"2.0\",\n\"method\":\"notifications/message\"}")
		case Request:
			return Drop, nil
		}
		return Pass, nil
	}}
	in := ": c\n" + "id: 9\nevent: message\ndata: " + progress + "\n\n" + event(sampling) + ": d\n" + event(answered) + event(answered)
	want := ": c\n" + "id: 9\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/message\"}\n\n" + ": d\n" + event(mapped)
	for how, r := range sources(in) {
		seen = nil
		got, err := io.ReadAll(NewStreamRewriter(r, o))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", how, diff)
		}
		if diff := cmp.Diff([]string{
			"notification notifications/progress " + progress,
			"request sampling/createMessage " + sampling,
			"response  " + answered,
		}, seen); diff != "" {
			t.Errorf("%s: %s", how, diff)
		}
	}
}

func TestStreamRewriterLetsEachReplaceTheAnswer(t *testing.T) {
	for action, want := range map[Action]string{Replace: event(failed), Drop: ""} {
		s := NewStreamRewriter(strings.NewReader(event(answered)), StreamOptions{Rewrite: modernCallAnswer,
			Each: func(e *Envelope, raw []byte) (Action, []byte) {
				if string(e.Result.Of(raw)) != `{"content":[]}` || string(e.ID.Of(raw)) != "1" || e.Error.Present() {
					t.Errorf("envelope %+v", e)
				}
				return action, []byte(failed)
			}})
		if got, err := io.ReadAll(s); err != nil || string(got) != want || !s.Done() {
			t.Errorf("%q, %v, done %v", got, err, s.Done())
		}
	}
}

func TestStreamRewriterTellsHowItEnded(t *testing.T) {
	for _, tc := range []struct {
		in           string
		end          error
		done, failed bool
		want         error
	}{
		{event(answered), io.EOF, true, false, nil},
		{event(failed), io.EOF, true, true, nil},
		{event(progress), io.EOF, false, false, ErrTruncated},
		{event(answered), errReset, true, false, nil},
		{event(progress), errReset, false, false, errReset},
		{event(progress), io.ErrUnexpectedEOF, false, false, ErrTruncated},
	} {
		s := NewStreamRewriter(io.MultiReader(strings.NewReader(tc.in), iotest.ErrReader(tc.end)), StreamOptions{})
		got, err := io.ReadAll(s)
		if !errors.Is(err, tc.want) || string(got) != tc.in {
			t.Errorf("%v: %q, %v, want %v", tc.end, got, err, tc.want)
		}
		if s.Done() != tc.done || s.IsError() != tc.failed {
			t.Errorf("done %v, error %v", s.Done(), s.IsError())
		}
	}
}

var errReset = errors.New("reset")

// stepped is a source that delivers one piece per Read and counts them.
type stepped struct {
	pieces []string
	reads  int
}

func (s *stepped) Read(p []byte) (int, error) {
	if s.reads == len(s.pieces) {
		return 0, io.EOF
	}
	s.reads++
	return copy(p, s.pieces[s.reads-1]), nil
}

// A message must not wait for the one after it.
func TestStreamRewriterLetsEachEventGoAtOnce(t *testing.T) {
	for _, pieces := range [][]string{
		{event(progress), ":\n", event(progress), "data: ", answered, "\n\n"},
		{"data: " + progress + "\r\n\r", "\n:\r\n", "data: " + answered + "\r\r"},
	} {
		src := &stepped{pieces: pieces}
		s := NewStreamRewriter(src, StreamOptions{Rewrite: modernCallAnswer})
		buf := make([]byte, 4096)
		var got, sent string
		for {
			n, err := s.Read(buf)
			if err != nil {
				break
			}
			got += string(buf[:n])
			sent = strings.Join(pieces[:src.reads], "")
			if complete := strings.Count(strings.ReplaceAll(sent, "\r", "\n"), "\n\n"); src.reads < len(pieces) && complete > 0 && len(got) == 0 {
				t.Fatalf("read %q, passed nothing", sent)
			}
			if src.reads == 1 && got != pieces[0] {
				t.Errorf("after the first piece: %q", got)
			}
		}
		if want := strings.ReplaceAll(strings.Join(pieces, ""), answered, mapped); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Nor must a sign of life, which may come without a blank line.
func TestStreamRewriterLetsCommentsGoAtOnce(t *testing.T) {
	src := &stepped{pieces: []string{":\r\n", ": still here\n", event(answered)}}
	s := NewStreamRewriter(src, StreamOptions{})
	buf := make([]byte, 4096)
	for i, want := range src.pieces {
		if n, err := s.Read(buf); err != nil || string(buf[:n]) != want || src.reads != i+1 {
			t.Errorf("after %d reads: %q, %v", src.reads, buf[:n], err)
		}
	}
}

// Writes end where events end, so that flushing after each Write is right.
func TestStreamRewriterWritesWholeEvents(t *testing.T) {
	in := strings.Repeat(event(progress), 1000) + event(answered)
	var writes int
	_, err := NewStreamRewriter(&chunked{[]byte(in), rand.New(rand.NewPCG(3, 4))}, StreamOptions{}).WriteTo(writer(func(p []byte) (int, error) {
		if writes++; !bytes.HasSuffix(p, []byte("\n\n")) {
			t.Errorf("write ends with %q", p[max(0, len(p)-20):])
		}
		return len(p), nil
	}))
	if err != nil || writes != 1001 {
		t.Errorf("%d writes, %v", writes, err)
	}
	writes = 0
	_, err = NewStreamRewriter(strings.NewReader(in), StreamOptions{}).WriteTo(writer(func(p []byte) (int, error) {
		writes++
		return len(p), nil
	}))
	if err != nil || writes > len(in)/chunkSize+2 {
		t.Errorf("%d writes of %d bytes that were there, %v", writes, len(in), err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestStreamRewriterCanBeLeft(t *testing.T) {
	s := NewStreamRewriter(strings.NewReader(event(progress)+event(answered)), StreamOptions{})
	buf := make([]byte, 10)
	if n, err := s.Read(buf); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	s.Close()
	s.Close()
	if n, err := s.Read(buf); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Error(n, err)
	}
	full := errors.New("full")
	_, err := NewStreamRewriter(strings.NewReader(event(answered)), StreamOptions{}).WriteTo(writer(func([]byte) (int, error) { return 0, full }))
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

// A stream that waits for its next event holds no more than one small buffer.
func TestStreamRewriterGivesLargeBuffersBack(t *testing.T) {
	src := &stepped{pieces: []string{event(`{"jsonrpc":"2.0","method":"` + strings.Repeat("x", 10) + `"}`)}}
	large := event(`{"jsonrpc":"2.0","method":"x","params":{"t":"` + strings.Repeat("x", 500<<10) + `"}}`)
	for len(large) > 0 {
		n := min(len(large), 16<<10)
		src.pieces = append(src.pieces, large[:n])
		large = large[n:]
	}
	src.pieces = append(src.pieces, event(progress), event(progress))
	s := NewStreamRewriter(src, StreamOptions{Standing: true})
	buf := make([]byte, 1<<20)
	var held []int
	for src.reads < len(src.pieces) {
		if _, err := s.Read(buf); err != nil {
			t.Fatal(err)
		}
		held = append(held, len(s.f.buf))
	}
	// After the first event, the large one, and each of the small ones.
	if diff := cmp.Diff([]int{smallSize, hugeSize, chunkSize, smallSize}, held); diff != "" {
		t.Error(diff)
	}
}
