package backendtest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestSubscribersAreToldOfUpdates(t *testing.T) {
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const uri = "mem://x"
				srv := backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithSubscriptions(), backendtest.WithResource(uri, "first"))
				told := make(chan string, 10)
				c := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, &mcp.ClientOptions{
					ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { told <- r.Params.URI },
				})
				s, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: srv.URL, HTTPClient: srv.Client(), MaxRetries: -1},
					&mcp.ClientSessionOptions{ProtocolVersion: revision})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				if err := s.Subscribe(t.Context(), &mcp.SubscribeParams{URI: uri}); err != nil {
					t.Fatal(err)
				}
				if err := srv.WaitSubscriptions(t.Context(), uri, 1); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the standing stream is there
				for _, text := range []string{"second", "third"} {
					if err := srv.UpdateResource(uri, text); err != nil {
						t.Fatal(err)
					}
					if got := <-told; got != uri {
						t.Error(got)
					}
					res, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
					if err != nil || res.Contents[0].Text != text {
						t.Error(res, err)
					}
				}
				if err := s.Unsubscribe(t.Context(), &mcp.UnsubscribeParams{URI: uri}); err != nil {
					t.Fatal(err)
				}
				if err := srv.WaitSubscriptions(t.Context(), uri, 0); err != nil {
					t.Fatal(err)
				}
				if err := srv.UpdateResource(uri, "fourth"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if len(told) != 0 || srv.SubscriptionsMade(uri) != 1 {
					t.Error(len(told), srv.SubscriptionsMade(uri))
				}
			})
		})
	}
}

func TestASubscriptionEndsWithItsSession(t *testing.T) {
	const uri = "mem://x"
	srv := backendtest.NewServer(t, backendtest.WithSubscriptions(), backendtest.WithResource(uri, "x"))
	c := srv.Client()
	subscribe := `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"` + uri + `"}}`
	first, second := openSession(t, srv, c), openSession(t, srv, c)
	for _, id := range []string{first, first, second} {
		if res, body, err := post(t, srv, c, subscribe, "Mcp-Session-Id", id); err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, body, err)
		}
	}
	if srv.Subscriptions(uri) != 2 || srv.SubscriptionsMade(uri) != 3 {
		t.Error(srv.Subscriptions(uri), srv.SubscriptionsMade(uri))
	}
	srv.DropSessions()
	if srv.Subscriptions(uri) != 0 || srv.Subscriptions("mem://other") != 0 {
		t.Error(srv.Subscriptions(uri))
	}
}

func TestNobodySubscribesUnderMCPGo(t *testing.T) {
	if _, err := backendtest.StartServer(backendtest.WithMCPGo(), backendtest.WithSubscriptions()); err == nil {
		t.Error("accepted")
	}
	srv := backendtest.NewServer(t, backendtest.WithMCPGo())
	if err := srv.UpdateResource("mem://x", "x"); err == nil {
		t.Error("told nobody")
	}
}
