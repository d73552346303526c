package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

const many = 1000 // backends

// manyBackends starts a gateway in front of many backends, all of them at one server
// of this process.
func manyBackends(b *testing.B) *gateway {
	b.Helper()
	srv := backendtest.NewServer(b, backendtest.WithJSON())
	var doc strings.Builder
	doc.WriteString("listen: LISTEN\nadmin: {listen: ADMIN}\nmcpServers:\n")
	for i := range many {
		fmt.Fprintf(&doc, "  b%d: {url: %q}\n", i, srv.URL)
	}
	return startGateway(b, buildRecloser(b), doc.String())
}

// ready waits until every backend was asked.
func (g *gateway) ready(b *testing.B) {
	b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if st := g.status(b); st.ReadyBackends == many {
			return
		}
	}
	b.Fatal("not all backends are ready after a minute")
}

func (g *gateway) status(b *testing.B) (st status.Status) {
	b.Helper()
	if err := json.Unmarshal(g.read(b, "/api/v1/status"), &st); err != nil {
		b.Fatal(err)
	}
	return st
}

func (g *gateway) read(b *testing.B, path string) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+g.admin+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
	return body
}

// BenchmarkStatusOfAThousand is the time of GET /api/v1/status, and of a page of
// the console's other questions, with a thousand backends.
func BenchmarkStatusOfAThousand(b *testing.B) {
	g := manyBackends(b)
	g.ready(b)
	for _, path := range []string{"/api/v1/status", "/api/v1/history", "/api/v1/backends/b500"} {
		took := make([]time.Duration, 50)
		for i := range took {
			began := time.Now()
			g.read(b, path)
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms"+strings.ReplaceAll(path, "/", "-"))
	}
}

// BenchmarkProbesOfAThousand is the part of one processor that probing a thousand
// backends takes at the default interval.
func BenchmarkProbesOfAThousand(b *testing.B) {
	g := manyBackends(b)
	g.ready(b)
	time.Sleep(5 * time.Second) // the start is over
	before, began := g.cpu(b), time.Now()
	time.Sleep(60 * time.Second) // two intervals
	b.ReportMetric(100*(g.cpu(b)-before).Seconds()/time.Since(began).Seconds(), "%core")
}

// BenchmarkEventToFollower is the time from a change at a backend that a call meets
// to the event that tells a follower of it.
func BenchmarkEventToFollower(b *testing.B) {
	srv := backendtest.NewServer(b, backendtest.WithToken("good"))
	g := startGateway(b, buildRecloser(b), fmt.Sprintf("listen: LISTEN\nadmin: {listen: ADMIN}\nmcpServers: {a: {url: %q, auth: {type: bearer, token: good}}}", srv.URL))
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+g.admin+"/api/v1/events", nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	paused := make(chan time.Time, 16)
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if strings.Contains(lines.Text(), "pause, asked for by") {
				paused <- time.Now()
			}
		}
	}()
	var took []time.Duration
	for range 20 {
		began := time.Now()
		for _, action := range []string{"pause", "resume"} {
			r, err := http.Post("http://"+g.admin+"/api/v1/backends/a/"+action, "application/json", nil)
			if err != nil {
				b.Fatal(err)
			}
			_ = r.Body.Close()
		}
		took = append(took, (<-paused).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-slowest")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
}
