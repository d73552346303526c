package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

const (
	storms       = 5
	stormCallers = 1000 // below the gateway's default of 1024 in flight per backend
	stormLimit   = 30 * time.Second
)

// guarded is a backend that accepts the tokens of an issuer. It lives in this
// process, so that its counts are at hand.
type guarded struct {
	issuer *backendtest.Issuer
	addr   string
	sends  atomic.Int64 // of tools/call
	storm  atomic.Pointer[storm]
}

// storm is one revocation. The backend holds every call until the last caller's
// is there; then the token they all carry is good no more.
type storm struct {
	missing  atomic.Int64
	refusals chan struct{} // closed when they begin
	began    time.Time     // when that was
}

func newGuarded(b *testing.B) *guarded {
	b.Helper()
	g := &guarded{issuer: backendtest.NewIssuer(b)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g.addr = l.Addr().String()
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.serve(c)
		}
	}()
	return g
}

var refusal = []byte("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\nContent-Length: 0\r\n\r\n")

func (g *guarded) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 4<<10)
	var body []byte
	for {
		n, token, err := readHead(r)
		if err != nil {
			return
		}
		body = slices.Grow(body[:0], n)[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if bytes.Contains(body, []byte(`"tools/call"`)) {
			g.sends.Add(1)
			if s := g.storm.Load(); s != nil {
				s.hold(g.issuer)
			}
		}
		out := refusal
		if g.issuer.Valid(token) {
			out = answer(body)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// hold keeps a call until all are in flight.
func (s *storm) hold(issuer *backendtest.Issuer) {
	switch n := s.missing.Add(-1); {
	case n > 0:
		<-s.refusals
	case n == 0:
		issuer.Revoke()
		s.began = time.Now()
		close(s.refusals)
	}
}

// crowd is callers with a connection each.
type crowd []*member

type member struct {
	c        net.Conn
	r        *bufio.Reader
	answered time.Time
	err      error
}

func newCrowd(b *testing.B, addr string, n int) crowd {
	b.Helper()
	all := make(crowd, n)
	for i := range all {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatalf("caller %d: %v; each needs two descriptors here and two in the gateway (ulimit -n)", i+1, err)
		}
		b.Cleanup(func() { _ = c.Close() })
		all[i] = &member{c: c, r: bufio.NewReaderSize(c, 4<<10)}
	}
	return all
}

// call has everyone make one call at once, and returns how many had no answer.
func (all crowd) call(request []byte) (failed int) {
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(func() {
			_ = m.c.SetDeadline(time.Now().Add(stormLimit))
			_, m.err = exchange(m.c, m.r, request)
			m.answered = time.Now()
		})
	}
	wg.Wait()
	for _, m := range all {
		if m.err != nil {
			failed++
		}
	}
	return failed
}

// gap is the longest time without an answer, from the refusals on.
func (all crowd) gap(from time.Time) (longest, last time.Duration) {
	at := []time.Time{from}
	for _, m := range all {
		at = append(at, m.answered)
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := range at[1:] {
		longest = max(longest, at[i+1].Sub(at[i]))
	}
	return longest, at[len(at)-1].Sub(from)
}

// BenchmarkStorm401 revokes the token of 1,000 calls in flight, with the token
// server near. Each must be answered, after one renewal and 2,000 sends at most.
// It reports what clients notice: errors and the longest time without any answer
// (median and worst), and when the last one had its answer.
func BenchmarkStorm401(b *testing.B) {
	back := newGuarded(b)
	gw := startGateway(b, buildRecloser(b), fmt.Sprintf(`{listen: LISTEN, admin: {listen: ADMIN}, log: {level: error}, mcpServers: {fast: {url: "http://%s/mcp",
		auth: {type: client_credentials, tokenURL: %q, clientID: %q, clientSecret: %q}}}}`,
		back.addr, back.issuer.TokenURL, back.issuer.ClientID, back.issuer.ClientSecret))
	request := call(gw.addr, "/mcp", "fast_echo")
	all := newCrowd(b, gw.addr, stormCallers)
	b.ResetTimer()
	for range b.N {
		var gaps, lasts, sends []float64
		for range storms {
			// A second of ordinary load lets the limit of renewals recover, and
			// leaves the gateway with the connections that it has in service.
			if s := round(gw.addr, request, callers, time.Second, 1); s.failed+s.truncated > 0 {
				b.Fatalf("before the storm: %+v", s)
			}
			if n := all.call(request); n > 0 {
				b.Fatalf("%d of %d calls failed before the storm", n, len(all))
			}
			s := &storm{refusals: make(chan struct{})}
			s.missing.Store(int64(len(all)))
			mints, before := back.issuer.Mints(), back.sends.Load()
			back.storm.Store(s)
			failed := all.call(request)
			back.storm.Store(nil)
			renewals, n := back.issuer.Mints()-mints, back.sends.Load()-before
			if failed != 0 || renewals != 1 || n > 2*stormCallers {
				b.Fatalf("%d errors, %d renewals and %d sends in a storm of %d callers, want 0, 1 and %d at most",
					failed, renewals, n, stormCallers, 2*stormCallers)
			}
			<-s.refusals
			gap, last := all.gap(s.began)
			gaps, lasts, sends = append(gaps, gap.Seconds()*1000), append(lasts, last.Seconds()*1000), append(sends, float64(n))
		}
		b.ReportMetric(0, "errors")
		b.ReportMetric(1, "renewals/storm")
		b.ReportMetric(slices.Max(sends), "sends/storm")
		b.ReportMetric(median(gaps), "gap-ms")
		b.ReportMetric(slices.Max(gaps), "worst-gap-ms")
		b.ReportMetric(median(lasts), "last-answer-ms")
	}
}
