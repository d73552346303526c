//go:build console

package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// gateway is the real binary, serving a configuration.
type gateway struct {
	t                *testing.T
	bin, mcp, config string
	admin            string
}

func serve(t *testing.T, document string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, bin: filepath.Join(dir, "recloser"), config: filepath.Join(dir, "mcp.yaml"), mcp: free(t), admin: free(t)}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", g.bin, "../../cmd/recloser").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	g.write(document)
	cmd := exec.CommandContext(t.Context(), g.bin, "serve", "--config", g.config)
	log := &bytes.Buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", log)
		}
	})
	g.until("it is up", func() bool {
		resp, err := http.Get("http://" + g.admin + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	return g
}

func (g *gateway) write(document string) {
	g.t.Helper()
	document = fmt.Sprintf("listen: %s\nadmin: {listen: %q}\nhealth: {interval: 1s}\n%s", g.mcp, g.admin, document)
	if err := os.WriteFile(g.config, []byte(document), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// until waits for what another process does.
func (g *gateway) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	g.t.Fatalf("it never came to pass: %s", what)
}

func (g *gateway) get(path string) []byte {
	g.t.Helper()
	resp, err := http.Get("http://" + g.admin + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return body
}

// command runs recloser, and returns what it printed and its exit code.
func (g *gateway) command(args ...string) (string, int) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), g.bin, args...)
	cmd.Env = append(os.Environ(), "RECLOSER_ADMIN=http://"+g.admin)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		g.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// resource reads recloser://status as an MCP client does.
func (g *gateway) resource(ctx context.Context) (text string) {
	g.t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "reader", Version: "1"}, nil)
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: "http://" + g.mcp + "/mcp"}, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	res, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: "recloser://status"})
	if err != nil || len(res.Contents) != 1 {
		g.t.Fatalf("resources/read: %v %v", res, err)
	}
	return res.Contents[0].Text
}

// page is the console in a browser. Its script tells line by line how far it is.
type page struct {
	t     *testing.T
	lines *bufio.Scanner
}

type told struct {
	What   string
	Paint  float64
	Fields map[string]string
}

func (g *gateway) open() *page {
	g.t.Helper()
	dir := filepath.Join(os.Getenv("RECLOSER_ARTIFACTS"), "console")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command("node", "real.mjs", "http://"+g.admin, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if g.t.Failed() {
			_ = cmd.Process.Signal(os.Interrupt) // it closes its browser
		}
		if err := cmd.Wait(); err != nil {
			g.t.Errorf("the page: %v", err)
		}
	})
	return &page{g.t, bufio.NewScanner(out)}
}

func (p *page) wait(what string) (line told) {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the page ended before it was %s", what)
	}
	if err := json.Unmarshal(p.lines.Bytes(), &line); err != nil || line.What != what {
		p.t.Fatalf("the page says %s, want %s", p.lines.Bytes(), what)
	}
	return line
}

// A backend begins to refuse its credential, nobody calls it, and somebody looks. All
// five faces say the same, to the letter; following the fix ends it on all of them.
func TestFiveFacesAgree(t *testing.T) {
	const good, other = "the-first-token-of-tickets", "the-second-token-of-tickets"
	tickets := backendtest.NewServer(t, backendtest.WithToken(good))
	clock := backendtest.NewServer(t)
	secret := filepath.Join(t.TempDir(), "token")
	save := func(token string) {
		if err := os.WriteFile(secret, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(good)
	document := fmt.Sprintf("mcpServers:\n  tickets: {url: %q, auth: {type: bearer, token: \"${file:%s}\"}}\n  clock: {url: %q}\n", tickets.URL, secret, clock.URL)
	g := serve(t, document)
	p := g.open()
	first := p.wait("well")
	t.Logf("first contentful paint after %.0f ms", first.Paint)
	if first.Paint <= 0 {
		t.Error("the page was never painted")
	}
	g.metric(`recloser_backend_status{backend="tickets",status="ready"}`, true)

	tickets.SetTokens(other)
	page := p.wait("broken").Fields
	// Of what follows no word changes while nobody calls.
	var api status.Status
	decode(t, g.get("/api/v1/status"), &api)
	b := find(t, api, "tickets")
	if b.Status != status.BackendStatusUnavailable || b.Reason != status.ReasonAuthRefused || !strings.Contains(b.Message, `Bearer error="invalid_token"`) {
		t.Errorf("tickets is %s / %s: %s", b.Status, b.Reason, b.Message)
	}
	if b.Since.IsZero() || b.Tried == "" || b.Fix == "" || b.NextProbe.IsZero() {
		t.Errorf("since %v, tried %q, fix %q, next probe %v", b.Since, b.Tried, b.Fix, b.NextProbe)
	}
	if n := find(t, api, "clock"); n.Status != status.BackendStatusReady || api.Phase != status.PhaseDegraded {
		t.Errorf("its neighbor is %s, the phase %s", n.Status, api.Phase)
	}
	var raw struct {
		Backends []map[string]json.RawMessage
	}
	decode(t, g.get("/api/v1/status"), &raw)
	var since string
	_ = json.Unmarshal(raw.Backends[0]["since"], &since)
	want := map[string]string{"status": string(b.Status), "reason": string(b.Reason), "message": b.Message, "tried": b.Tried,
		"fix": b.Fix, "clientsSee": b.ClientsSee, "since": since, "headline": api.Headline}
	for name, text := range want {
		if page[name] != text {
			t.Errorf("%s: the page has %q, the API %q", name, page[name], text)
		}
	}
	screen, code := g.command("status")
	if code != 1 {
		t.Errorf("recloser status exits with %d", code)
	}
	for name, text := range want {
		if !strings.Contains(screen, text) {
			t.Errorf("%s: recloser status does not show %q:\n%s", name, text, screen)
		}
	}
	var read status.Status
	decode(t, []byte(g.resource(t.Context())), &read)
	m := find(t, read, "tickets")
	for name, pair := range map[string][2]string{"status": {string(m.Status), string(b.Status)}, "reason": {string(m.Reason), string(b.Reason)},
		"message": {m.Message, b.Message}, "tried": {m.Tried, b.Tried}, "fix": {m.Fix, b.Fix}, "clientsSee": {m.ClientsSee, b.ClientsSee},
		"headline": {read.Headline, api.Headline}, "since": {m.Since.Format(time.RFC3339Nano), since}} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the resource has %q, the API %q", name, pair[0], pair[1])
		}
	}
	g.metric(`recloser_backend_status{backend="tickets",status="unavailable"}`, true)
	g.metric(`recloser_backend_status{backend="tickets",status="ready"}`, false)
	g.metric(`recloser_backend_status{backend="clock",status="ready"}`, true)

	save(other) // what the fix says
	p.wait("mended")
	decode(t, g.get("/api/v1/status"), &api)
	if b := find(t, api, "tickets"); b.Status != status.BackendStatusReady || api.Phase != status.PhaseReady {
		t.Errorf("after the fix tickets is %s / %s, the phase %s", b.Status, b.Reason, api.Phase)
	}
	if screen, code := g.command("status"); code != 0 || !strings.Contains(screen, "All 2 backends are ready") {
		t.Errorf("recloser status exits with %d:\n%s", code, screen)
	}
	executions := clock.Executions("echo")
	p.wait("called")
	if n := clock.Executions("echo") - executions; n != 1 {
		t.Errorf("the tool that was tried ran %d times", n)
	}

	// A configuration that is wrong is refused in words, and changes nothing.
	g.write("mcpServers: {tickets: {uri: x}}")
	g.until("the refusal is told", func() bool {
		out, _ := g.command("events")
		return strings.Contains(out, "configuration refused, the one in use stays")
	})
	if out, code := g.command("reload"); code != 2 || !strings.Contains(out, "did you mean") {
		t.Errorf("recloser reload exits with %d:\n%s", code, out)
	}
	if _, code := g.command("status"); code != 0 {
		t.Errorf("after a refused configuration recloser status exits with %d", code)
	}
	g.write(document + "  late: {url: " + clock.URL + "}\n")
	g.until("the backend is there", func() bool {
		out, code := g.command("status")
		return code == 0 && strings.Contains(out, "All 3 backends are ready")
	})
}

// metric checks a gauge that is one or zero.
func (g *gateway) metric(name string, one bool) {
	g.t.Helper()
	want := name + " 0"
	if one {
		want = name + " 1"
	}
	if !strings.Contains(string(g.get("/metrics")), want+"\n") {
		g.t.Errorf("the metrics do not have %s", want)
	}
}

func decode(t *testing.T, doc []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(doc, into); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
}

func find(t *testing.T, s status.Status, name string) status.Backend {
	t.Helper()
	for _, b := range s.Backends {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("%s has no status", name)
	return status.Backend{}
}
