package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

const (
	weatherTTL    = 10 * time.Second // how long weather's tokens live
	weatherRevoke = 7 * time.Second  // how often they are revoked
)

// tokensVariable names the environment variable with a file to which the demo
// writes its credentials when it ends, one a line. The test suite searches all
// that a demo shows for them, which nobody else could: they are made up at its
// start and known to no other process. There is nothing of the kind in serve.
const tokensVariable = "RECLOSER_DEMO_TOKENS"

// world is the three sample backends of the demo and the issuer of weather's
// tokens, all in this process.
type world struct {
	clock, weather, vault *backendtest.Server
	issuer                *backendtest.Issuer
	secret                string // of the client that gets weather's tokens
	given, wanted         string // tokens of vault: what the gateway has, what would be accepted
}

func newWorld() (w *world, err error) {
	w = &world{secret: rand.Text(), given: rand.Text(), wanted: rand.Text()}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.issuer, err = backendtest.StartIssuer(backendtest.WithTTL(weatherTTL), backendtest.WithClient("recloser", w.secret)); err != nil {
		return w, err
	}
	if w.clock, err = backendtest.StartServer(backendtest.WithName("clock"),
		backendtest.WithTool("now", func(context.Context, json.RawMessage) (any, error) {
			return time.Now().UTC().Format(time.TimeOnly), nil
		})); err != nil {
		return w, err
	}
	if w.weather, err = backendtest.StartServer(backendtest.WithName("weather"), backendtest.WithBearer(w.issuer),
		backendtest.WithTool("forecast", func(context.Context, json.RawMessage) (any, error) {
			return "Sunny, with short outages of authorization.", nil
		})); err != nil {
		return w, err
	}
	w.vault, err = backendtest.StartServer(backendtest.WithName("vault"), backendtest.WithMCPGo(),
		backendtest.WithToken(w.wanted), backendtest.WithGuardedCallsOnly(),
		backendtest.WithTool("open", func(context.Context, json.RawMessage) (any, error) {
			return "nobody ever sees this", nil
		}))
	return w, err
}

func (w *world) close() {
	for _, s := range []*backendtest.Server{w.clock, w.weather, w.vault} {
		if s != nil {
			s.Close()
		}
	}
	if w.issuer != nil {
		w.issuer.Close()
	}
}

// config is the document the demo's gateway runs on: what a user would write.
func (w *world) config(listen, admin string) string {
	return fmt.Sprintf(`listen: %q
admin: {listen: %q}
mcpServers:
  clock:
    url: %q
  weather:
    url: %q
    auth: {type: client_credentials, tokenURL: %q, clientID: recloser, clientSecret: "${DEMO_SECRET}"}
  vault:
    url: %q
    auth: {type: bearer, token: "${DEMO_VAULT_TOKEN}"}
`, listen, admin, w.clock.URL, w.weather.URL, w.issuer.TokenURL, w.vault.URL)
}

// env answers the variables of that document.
func (w *world) env(name string) (string, bool) {
	v, ok := map[string]string{"DEMO_SECRET": w.secret, "DEMO_VAULT_TOKEN": w.given}[name]
	return v, ok
}

// keepTokens writes every credential that was in use to the file of tokensVariable.
func (w *world) keepTokens() error {
	file := os.Getenv(tokensVariable)
	if file == "" {
		return nil
	}
	tokens := []string{w.secret, w.given, w.wanted}
	for n := 1; n <= w.issuer.Mints(); n++ {
		tokens = append(tokens, w.issuer.Token(n))
	}
	return os.WriteFile(file, []byte(strings.Join(tokens, "\n")+"\n"), 0o600)
}

// revoke takes weather's tokens back every few seconds until ctx ends.
func (w *world) revoke(ctx context.Context, tell func()) {
	tick := time.NewTicker(weatherRevoke)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.issuer.Revoke()
			tell()
		}
	}
}
