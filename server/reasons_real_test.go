package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
	"github.com/recloser-mcp/recloser/status"
)

// Reasons that need what virtual time does not have: files that are watched, processes,
// and connections with a buffer, which TLS counts on.

// programs is what this binary is when it is started as a process.
var programs = backendtest.Programs{
	"clerk": func(c *backendtest.Child) error {
		if path := os.Getenv("LEDGER"); path != "here" {
			fmt.Fprintf(os.Stderr, "clerk: cannot open the ledger at %q\n", path)
			os.Exit(3)
		}
		return c.Serve()
	},
}

// clinic is a ward in real time. Its neighbour is in memory.
type clinic struct {
	*ward
	dir    string
	events *follower
	latest map[string]status.Event // of the status of each backend
}

func (c *clinic) file(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clinic) document(settings string) string {
	return fmt.Sprintf("health: {interval: 1s}\nmcpServers:\n  a: {%s}\n  b: {url: %q}", strings.ReplaceAll(settings, "DIR", c.dir), c.b.URL)
}

// start runs the gateway, and returns when a is well.
func (c *clinic) start(t *testing.T, settings string) {
	t.Helper()
	c.ward = &ward{b: backendtest.NewServer(t), began: time.Now()}
	c.d = &draft{text: c.document(settings)}
	load := func() (*config.Document, []config.Warning, error) {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		return config.Parse("test.yaml", []byte(c.d.text), config.LoadOptions{})
	}
	doc, _, err := load()
	if err != nil {
		t.Fatal(err)
	}
	c.rig = launch(t, doc, func(o *server.Options) { o.Load = load })
	c.events, c.latest = c.follow(0, ""), map[string]status.Event{}
	t.Cleanup(func() { c.events.stop(); <-c.events.done }) // before the gateway ends
	c.until("b", "ready/ok")
	c.until("a", "ready/ok")
	c.wantCall("a_echo", "", 0)
}

// until reads events until a backend has this status.
func (c *clinic) until(name, state string) status.Event {
	c.t.Helper()
	for {
		if e := c.latest[name]; string(e.Status)+"/"+string(e.Reason) == state {
			return e
		}
		e, more := <-c.events.seen
		if !more {
			c.t.Fatalf("the stream of events has ended before %s was %s", name, state)
		}
		if e.Kind == status.EventStatus {
			c.latest[e.Backend] = e
		}
	}
}

func (c *clinic) rewrite(settings string) {
	c.t.Helper()
	c.d.write("%s", c.document(settings))
	c.reload()
}

// ails checks how a is while something is wrong, and that it stays so when it is called.
func (c *clinic) ails(reason status.Reason, code int, since time.Time, message, fix string) {
	c.t.Helper()
	e := c.until("a", "unavailable/"+string(reason))
	for range 3 {
		c.wantCall("a_echo", reason, code)
		b := c.wantState("a", "unavailable/"+string(reason), since, e.At)
		wantWords(c.t, b, message, fix)
	}
	c.wantState("b", "ready/ok", c.began, time.Now())
	c.wantWhole(status.PhaseDegraded, 200)
	if f := c.call("b_echo").failure(c.t); f != nil {
		c.t.Errorf("a call of the neighbour: %+v", f)
	}
}

func (c *clinic) isWell() {
	c.t.Helper()
	c.until("a", "ready/ok")
	c.wantCall("a_echo", "", 0)
	c.wantWhole(status.PhaseReady, 200)
}

func TestAChangedTokenFileIsTakenUpByItself(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithToken("good"))
	c := &clinic{dir: t.TempDir()}
	c.ward = &ward{rig: &rig{t: t}}
	c.file("token", "good\n")
	c.start(t, fmt.Sprintf(`url: %q, auth: {type: bearer, token: "${file:DIR/token}"}`, srv.URL))
	t0 := time.Now()
	srv.SetTokens("better")
	c.ails(status.ReasonAuthRefused, 401, t0, "refuses the credential", "or into the file that it names")
	c.file("token", "better\n")
	c.isWell()
	if n := srv.ByCredential("better"); n == 0 {
		t.Error("the new token was not sent")
	}
}

func TestTLSThatFailsIsMendedByItsFiles(t *testing.T) {
	const full = `, tls: {caFile: "DIR/ca.pem", certFile: "DIR/client.pem", keyFile: "DIR/client.key"}`
	for _, x := range []struct{ name, without, fix string }{
		{"no authority", "", "mcpServers.a.tls.caFile"},
		{"no client certificate", `, tls: {caFile: "DIR/ca.pem"}`, "mcpServers.a.tls.certFile"},
	} {
		t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
			srv := backendtest.NewServer(t, backendtest.WithTLS(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }))
			c := &clinic{dir: t.TempDir()}
			c.ward = &ward{rig: &rig{t: t}}
			c.file("ca.pem", string(srv.CertPEM()))
			c.certificate("client")
			c.start(t, fmt.Sprintf("url: %q", srv.URL)+full)
			t0 := time.Now()
			c.rewrite(fmt.Sprintf("url: %q", srv.URL) + x.without)
			c.until("a", "unavailable/tls_failed") // nothing is on its way there any more
			asked := srv.Requests("")
			c.ails(status.ReasonTLSFailed, 0, t0, "TLS connection", x.fix)
			wantCount(t, "requests that got through", srv.Requests(""), asked)
			c.rewrite(fmt.Sprintf("url: %q", srv.URL) + full)
			c.isWell()
		})
	}
}

// certificate writes a certificate and its key.
func (c *clinic) certificate(name string) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	valid := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, &valid, &valid, &key.PublicKey, key)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.file(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	c.file(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// A program that cannot start says why in the status, with what to run and what it
// printed; it is not started once per call.
func TestAProcessThatExitsSaysWhatItPrinted(t *testing.T) {
	p := backendtest.NewProgram(t, "clerk")
	settings := func(ledger string) string {
		env := []string{"LEDGER: " + ledger}
		for k, v := range p.Env {
			env = append(env, fmt.Sprintf("%s: %q", k, v))
		}
		return fmt.Sprintf("command: %q, env: {%s}", p.Command, strings.Join(env, ", "))
	}
	c := &clinic{}
	c.start(t, settings("here"))
	t0, started := time.Now(), len(p.Started())
	c.rewrite(settings("nowhere"))
	c.ails(status.ReasonProcessExited, 0, t0, "exit status 3", "clerk: cannot open the ledger at")
	for range 20 {
		c.wantCall("a_echo", status.ReasonProcessExited, 0)
	}
	b := of(t, c.seen(), "a")
	if !strings.Contains(b.Fix, p.Command) || b.Process == nil || b.Process.LastExit == nil || b.Reachable != status.No {
		t.Errorf("fix %q, process %+v, reachable %s", b.Fix, b.Process, b.Reachable)
	}
	if n := len(p.Started()) - started; n > 10 {
		t.Errorf("it was started %d times for 23 calls", n)
	}
	executed := p.Executions("echo")
	c.rewrite(settings("here"))
	c.isWell()
	wantCount(t, "executions", p.Executions("echo"), executed+1)
}
