package backendtest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// challenge calls with a credential and returns the status and the challenge.
func challenge(t *testing.T, srv *backendtest.Server, header, value string) []string {
	t.Helper()
	headers := modernHeaders
	if value != "" {
		headers = append(append([]string{}, headers...), header, value)
	}
	res, _, err := post(t, srv, srv.Client(), call, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return []string{res.Status[:3], res.Header.Get("WWW-Authenticate")}
}

func TestBearerTokensAreJudged(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
		srv := start(backendtest.WithBearer(issuer), backendtest.WithRequiredScope("tools/call", "tools"))
		good, narrow := issuer.Mint("tools", "more"), issuer.Mint("more")
		issuer.WrongAudience(true)
		foreign := issuer.Mint("tools")
		issuer.WrongAudience(false)
		gone := issuer.Mint("tools")
		issuer.RevokeToken(gone)
		invalid := `Bearer error="invalid_token"`
		for _, tt := range []struct {
			name, token string
			want        []string
		}{
			{"good", "Bearer " + good, []string{"200", ""}},
			{"scheme in lower case", "bearer " + good, []string{"200", ""}},
			{"none", "", []string{"401", "Bearer"}},
			{"unknown", "Bearer x", []string{"401", invalid}},
			{"revoked", "Bearer " + gone, []string{"401", invalid}},
			{"audience", "Bearer " + foreign, []string{"401", invalid}},
			{"scope", "Bearer " + narrow, []string{"403", `Bearer error="insufficient_scope", scope="tools"`}},
		} {
			if d := cmp.Diff(tt.want, challenge(t, srv, "Authorization", tt.token)); d != "" {
				t.Error(tt.name, d)
			}
		}
		if got := srv.Executions("echo"); got != 2 {
			t.Errorf("executions %d", got)
		}
		if got := srv.Refused("tools/call"); got != 5 {
			t.Errorf("refused %d", got)
		}
		byToken := []int{srv.ByToken(1), srv.ByToken(2), srv.ByToken(3), srv.ByToken(4), srv.ByToken(5), srv.ByCredential("x")}
		if d := cmp.Diff([]int{2, 1, 1, 1, 0, 1}, byToken); d != "" {
			t.Error(d)
		}
	})
}

func TestStaticTokens(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithToken("one", "two"))
	ask := func(token string) string { return challenge(t, srv, "Authorization", "Bearer "+token)[0] }
	got := []string{ask("one"), ask("two"), ask("three")}
	srv.SetTokens("three")
	got = append(got, ask("one"), ask("three"))
	srv.SetTokens()
	got = append(got, ask("three"))
	if d := cmp.Diff([]string{"200", "200", "401", "401", "200", "401"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"one", "two", "three"}, srv.Credentials()); d != "" {
		t.Error(d)
	}
	if srv.ByToken(3) != 3 || srv.ByToken(4) != 0 || srv.ByToken(0) != 0 {
		t.Error(srv.ByToken(3), srv.ByToken(4), srv.ByToken(0))
	}
}

func TestCredentialHeader(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithCredentialHeader("X-Api-Key"), backendtest.WithToken("k"),
		backendtest.WithChallenge(""))
	got := [][]string{challenge(t, srv, "X-Api-Key", "k"), challenge(t, srv, "Authorization", "Bearer k")}
	if d := cmp.Diff([][]string{{"200", ""}, {"401", ""}}, got); d != "" {
		t.Error(d)
	}
	if srv.ByCredential("k") != 1 {
		t.Error(srv.ByCredential("k"))
	}
}

func TestChallengeOfOnesOwn(t *testing.T) {
	want := `Bearer resource_metadata="http://127.0.0.1/x"`
	srv := backendtest.NewServer(t, backendtest.WithToken("k"), backendtest.WithChallenge(want))
	if d := cmp.Diff([]string{"401", want}, challenge(t, srv, "Authorization", "Bearer x")); d != "" {
		t.Error(d)
	}
}

func TestRefuse(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithRefuse(func(r *http.Request, method string) int {
		if method == "tools/call" && r.Header.Get("X-Pass") == "" {
			return http.StatusForbidden
		}
		return 0
	}))
	got := [][]string{challenge(t, srv, "X-Pass", ""), challenge(t, srv, "X-Pass", "1")}
	if d := cmp.Diff([][]string{{"403", ""}, {"200", ""}}, got); d != "" {
		t.Error(d)
	}
}

// Every call of an SDK's client that is refused under WithGuardedCallsOnly, and
// no other.
func TestGuardedCallsOnly(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		for _, revision := range []string{"2026-07-28", "2025-11-25"} {
			srv := start(backendtest.WithToken("k"), backendtest.WithGuardedCallsOnly(), backendtest.WithRevision(revision),
				backendtest.WithResource("file:///a", "text of a"), backendtest.WithResourceTemplate("file:///b/{x}", "text of b"),
				backendtest.WithPrompt("p", "hello {who}"),
				backendtest.WithCompletion(func(_ context.Context, ref, arg, value string) ([]string, error) {
					return []string{ref + arg + value}, nil
				}))
			token := ""
			client := withToken(srv.Client(), func() string { return token })
			everything(t, client, srv, false)
			refused := map[string]int{}
			for _, x := range srv.Exchanges() {
				if x.Status == http.StatusUnauthorized {
					refused[x.Method]++
				}
			}
			want := map[string]int{}
			for _, method := range backendtest.Calls() {
				want[method] = 1
			}
			want["resources/read"] = 2
			if d := cmp.Diff(want, refused); d != "" {
				t.Error(revision, d)
			}
			token = "k"
			everything(t, client, srv, true)
			got := map[string]int{}
			for _, name := range []string{"echo", "p", "file:///a", "file:///b/1", "completion/complete"} {
				got[name] = srv.Executions(name)
			}
			wantRuns := map[string]int{"echo": 1, "p": 1, "file:///a": 1, "file:///b/1": 1, "completion/complete": 1}
			if d := cmp.Diff(wantRuns, got); d != "" {
				t.Error(revision, d)
			}
			if srv.Executions("") != 5 {
				t.Error(srv.Executions(""))
			}
		}
	})
}

// everything does what a client can do; calls work or not. A bare 401 kills the
// SDK's session, so each call has its own.
func everything(t *testing.T, hc *http.Client, srv *backendtest.Server, works bool) {
	t.Helper()
	connect := func() officialClient {
		c, err := dialOfficial(t.Context(), srv, hc, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.(officialClient)
	}
	lists := connect()
	defer lists.close()
	if tools, err := lists.tools(t.Context()); err != nil || len(tools) != 1 {
		t.Error(tools, err)
	}
	resources, err := lists.ListResources(t.Context(), nil)
	if err != nil || len(resources.Resources) != 1 {
		t.Error(resources, err)
	}
	templates, err := lists.ListResourceTemplates(t.Context(), nil)
	if err != nil || len(templates.ResourceTemplates) != 1 {
		t.Error(templates, err)
	}
	prompts, err := lists.ListPrompts(t.Context(), nil)
	if err != nil || len(prompts.Prompts) != 1 {
		t.Error(prompts, err)
	}
	for name, do := range calls() {
		c := connect()
		got, err := do(t.Context(), c)
		c.close()
		if works != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if works && got != name {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// calls are the calls of a client, by what they should return.
func calls() map[string]func(context.Context, officialClient) (string, error) {
	read := func(uri string) func(ctx context.Context, c officialClient) (string, error) {
		return func(ctx context.Context, c officialClient) (string, error) {
			res, err := c.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
			if err != nil {
				return "", err
			}
			return res.Contents[0].Text, nil
		}
	}
	return map[string]func(context.Context, officialClient) (string, error){
		"{}":        func(ctx context.Context, c officialClient) (string, error) { return c.call(ctx, "echo", nil) },
		"text of a": read("file:///a"),
		"text of b": read("file:///b/1"),
		"hello you": func(ctx context.Context, c officialClient) (string, error) {
			res, err := c.GetPrompt(ctx, &mcp.GetPromptParams{Name: "p", Arguments: map[string]string{"who": "you"}})
			if err != nil {
				return "", err
			}
			return res.Messages[0].Content.(*mcp.TextContent).Text, nil
		},
		"pwhoy": func(ctx context.Context, c officialClient) (string, error) {
			res, err := c.Complete(ctx, &mcp.CompleteParams{
				Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: "p"},
				Argument: mcp.CompleteParamsArgument{Name: "who", Value: "y"},
			})
			if err != nil {
				return "", err
			}
			return res.Completion.Values[0], nil
		},
	}
}

func TestToolResults(t *testing.T) {
	for _, tt := range []struct {
		name string
		fn   backendtest.ToolFunc
		want string // within the answer
	}{
		{"text", backendtest.Text("hi"), `"content":[{"type":"text","text":"hi"}]`},
		{"structured", func(context.Context, json.RawMessage) (any, error) {
			return map[string]int{"n": 1}, nil
		}, `"structuredContent":{"n":1}`},
		{"raw", func(context.Context, json.RawMessage) (any, error) {
			return json.RawMessage(`{"n":1e2}`), nil
		}, `"structuredContent":{"n":1e2}`},
		{"empty", func(context.Context, json.RawMessage) (any, error) { return nil, nil }, `"content":[]`},
		{"error", backendtest.Failing("access denied"), `"isError":true`},
		{"no json", func(context.Context, json.RawMessage) (any, error) { return func() {}, nil }, `"isError":true`},
		{"rpc error", func(context.Context, json.RawMessage) (any, error) {
			return nil, &backendtest.RPCError{Code: -32603, Message: "broken"}
		}, `"code":-32603`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
				srv := start(backendtest.WithTool("echo", tt.fn))
				_, body, err := callEcho(t, srv, srv.Client())
				if err != nil || !strings.Contains(body, tt.want) {
					t.Errorf("%s %v", body, err)
				}
			})
		})
	}
}
