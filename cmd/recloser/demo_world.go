package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

const (
	weatherTTL    = 10 * time.Second // how long weather's tokens live
	weatherRevoke = 7 * time.Second  // how often they are revoked
	demoSecret    = "demo-client-secret"
	vaultToken    = "demo-token-that-vault-does-not-know"
)

// world is the three sample backends of the demo and the issuer of weather's
// tokens, all in this process.
type world struct {
	clock, weather, vault *backendtest.Server
	issuer                *backendtest.Issuer
}

func newWorld() (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.issuer, err = backendtest.StartIssuer(backendtest.WithTTL(weatherTTL), backendtest.WithClient("recloser", demoSecret)); err != nil {
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
		backendtest.WithToken("only-vault-knows-this-one"), backendtest.WithGuardedCallsOnly(),
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
	v, ok := map[string]string{"DEMO_SECRET": demoSecret, "DEMO_VAULT_TOKEN": vaultToken}[name]
	return v, ok
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
