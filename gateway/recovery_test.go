package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// guarded runs a backend that wants tokens of the issuer, for which the gateway
// has one credential.
func (c cell) guarded(t *testing.T, o ...backendtest.Option) (*backendtest.Server, *backendtest.Issuer, *rig) {
	t.Helper()
	issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
	strategy, err := auth.NewClientCredentials(auth.ClientCredentialsOptions{
		TokenURL: issuer.TokenURL, ClientID: issuer.ClientID, ClientSecret: auth.NewValue(issuer.ClientSecret),
	}, issuer.Client())
	if err != nil {
		t.Fatal(err)
	}
	source := auth.NewSource("client_credentials", strategy, auth.SourceOptions{})
	t.Cleanup(source.Close)
	srv, r := c.serve(t, settings{backend: func(i int, o *backend.Options) {
		if i == 0 {
			o.Auth = source
		}
	}}, append(o, backendtest.WithBearer(issuer))...)
	if n := issuer.Mints(); n != 1 {
		t.Fatalf("%d tokens after the start, want 1", n)
	}
	return srv, issuer, r
}

// renewed wants one renewal, and one only.
func renewed(t *testing.T, issuer *backendtest.Issuer) {
	t.Helper()
	if n, m := issuer.Mints(), issuer.Requests(); n != 2 || m != 2 {
		t.Errorf("%d tokens from %d requests, want 2 from 2: one renewal", n, m)
	}
}

func TestALongCallOutlivesItsToken(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		steps := make(chan struct{})
		srv, issuer, r := c.guarded(t, backendtest.WithTool("work", func(ctx context.Context, _ json.RawMessage) (any, error) {
			for i := range 3 {
				<-steps
				if err := backendtest.Progress(ctx, float64(i+1), 3, fmt.Sprint("step ", i)); err != nil {
					return nil, err
				}
			}
			return "done", nil
		}))
		p := c.join(t, r, &mcp.ClientOptions{})
		done := make(chan error)
		go func() {
			text, err := p.call(t.Context(), "work", mcp.Meta{"progressToken": "p"})
			if err == nil && text != "done" {
				err = errors.New(text)
			}
			done <- err
		}()
		steps <- struct{}{}
		if diff := cmp.Diff([]string{"progress p 1 step 0"}, p.told()); diff != "" {
			t.Error(diff)
		}
		issuer.Revoke()
		if text, err := p.call(t.Context(), "who", nil); err != nil || text != "one" {
			t.Errorf("another call: %q, %v", text, err)
		}
		steps <- struct{}{}
		steps <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"progress p 2 step 1", "progress p 3 step 2"}, p.told()); diff != "" {
			t.Error(diff)
		}
		if srv.Executions("work") != 1 || srv.Executions("who") != 1 || srv.Refused("tools/call") != 1 {
			t.Errorf("%d and %d executions, %d refusals, want 1 of each", srv.Executions("work"), srv.Executions("who"), srv.Refused("tools/call"))
		}
		renewed(t, issuer)
	})
}

func TestProgressFollowsARenewal(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, issuer, r := c.guarded(t, backendtest.WithTool("work", func(ctx context.Context, _ json.RawMessage) (any, error) {
			return "done", backendtest.Progress(ctx, 1, 1, "all")
		}))
		p := c.join(t, r, &mcp.ClientOptions{})
		if _, err := p.call(t.Context(), "who", nil); err != nil { // a session that there is, if any
			t.Fatal(err)
		}
		issuer.Revoke()
		if text, err := p.call(t.Context(), "work", mcp.Meta{"progressToken": 7}); err != nil || text != "done" {
			t.Errorf("%q, %v", text, err)
		}
		if diff := cmp.Diff([]string{"progress 7 1 all"}, p.told()); diff != "" {
			t.Error(diff)
		}
		if n := srv.Executions("work"); n != 1 {
			t.Errorf("%d executions, want 1", n)
		}
		renewed(t, issuer)
	})
}

// TestAnAnswerOutlivesTheToken revokes the token while the user thinks.
func TestAnAnswerOutlivesTheToken(t *testing.T) {
	for _, tool := range []string{"form", "both"} {
		t.Run(tool, func(t *testing.T) {
			eachCell(t, func(t *testing.T, c cell) {
				srv, issuer, r := c.guarded(t, asking()...)
				var p *party
				user := answers(&p, "accept")
				p = c.join(t, r, &mcp.ClientOptions{ElicitationHandler: func(ctx context.Context, q *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
					if issuer.Mints() == 1 {
						issuer.Revoke()
					}
					return user(ctx, q)
				}})
				if _, err := p.call(t.Context(), "who", nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the session and its stream are there
				want := map[string]string{"form": `accept{"said":"name?!"}`, "both": `{"said":"one!"}{"said":"two!"}`}[tool]
				if got, err := p.call(t.Context(), tool, nil); err != nil || got != want {
					t.Errorf("%v %s", err, cmp.Diff(want, got))
				}
				if n := srv.Executions(tool); n != c.runs(1) {
					t.Errorf("%d executions, want %d", n, c.runs(1))
				}
				method := "tools/call"
				if c.back == elder {
					method = backendtest.MethodResponse
				}
				if n := srv.Refused(method); n == 0 {
					t.Errorf("no %s was refused: the test proves nothing", method)
				}
				renewed(t, issuer)
			})
		})
	}
}

// TestStreamsOutliveTheirToken ends every standing stream of the backend together
// with the token they were opened with.
func TestStreamsOutliveTheirToken(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, issuer, r := c.guarded(t, append(logging(), backendtest.WithSubscriptions())...)
		changed := make(chan struct{}, 10)
		p := c.join(t, r, &mcp.ClientOptions{ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} }})
		p.logs(t, "log", "error")
		p.watch(t)
		if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
			t.Fatal(err)
		}
		update(t, srv, "second")
		if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
			t.Error(diff)
		}
		streams := srv.Streams()
		for range 2 {
			issuer.Revoke()
			srv.EndStreams()
			if err := srv.WaitStreams(soon(t), 0); err != nil {
				t.Fatal(err)
			}
			if err := srv.WaitStreams(soon(t), streams); err != nil {
				t.Fatal(err)
			}
			if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			p.told() // that it may have changed meanwhile is a fair thing to say
			update(t, srv, "third")
			if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
				t.Error(diff)
			}
			if c.front == elder && c.back == elder {
				if diff := cmp.Diff([]string{"log error e"}, p.logs(t, "aside", "")); diff != "" {
					t.Error(diff)
				}
			}
			time.Sleep(time.Minute) // so that forced renewals are not what is measured
		}
		srv.AddTool(backendtest.Tool{Name: "new"})
		<-changed
		if n, m := issuer.Mints(), issuer.Requests(); n != 3 || m != 3 {
			t.Errorf("%d tokens from %d requests, want 3 from 3: one renewal each time", n, m)
		}
		if n := srv.Refused(""); n < 2 {
			t.Errorf("%d refusals: the test proves nothing", n)
		}
		p.unwatch(t)
		if err := srv.WaitSubscriptions(soon(t), watched, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestASessionLostWithItsToken is reopened with what the client had set, and with
// one renewal.
func TestASessionLostWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, issuer, r := c.guarded(t, append(slices.Concat(logging(), asking()), backendtest.WithSubscriptions())...)
		var p *party
		p = c.join(t, r, &mcp.ClientOptions{ElicitationHandler: answers(&p, "accept")}, "file:///r")
		p.logs(t, "log", "error")
		p.watch(t)
		issuer.Revoke()
		srv.DropSessions()
		if got, err := p.call(t.Context(), "form", nil); err != nil || got != `accept{"said":"name?!"}` {
			t.Errorf("%q, %v", got, err)
		}
		if diff := cmp.Diff([]string{"form name? "}, p.told()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"log error e"}, p.logs(t, "log", "")); diff != "" {
			t.Error(diff)
		}
		if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
			t.Errorf("what may have been missed: %s", diff)
		}
		update(t, srv, "second")
		if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
			t.Error(diff)
		}
		if n := srv.Executions("form"); n != 1 {
			t.Errorf("%d executions, want 1", n)
		}
		renewed(t, issuer)
	})
}
