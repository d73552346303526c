package gateway_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

const watched = "mem://one"

// watch subscribes to the resource and waits until the backend knows.
func (p *party) watch(t *testing.T) {
	t.Helper()
	if err := p.Subscribe(t.Context(), &mcp.SubscribeParams{URI: watched}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (p *party) unwatch(t *testing.T) {
	t.Helper()
	if err := p.Unsubscribe(t.Context(), &mcp.UnsubscribeParams{URI: watched}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// update changes the resource and waits until everybody was told.
func update(t *testing.T, srv *backendtest.Server, text string) {
	t.Helper()
	if err := srv.UpdateResource(watched, text); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestUpdatesOfAResourceAreTold(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		p := c.join(t, r, &mcp.ClientOptions{})
		if got := srv.Subscriptions(watched); got != 0 {
			t.Errorf("%d subscriptions before anybody asked", got)
		}
		p.watch(t)
		if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"second", "third"} {
			update(t, srv, text)
			if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
				t.Errorf("%s: %s", text, diff)
			}
			res, err := p.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: watched})
			if err != nil || res.Contents[0].Text != text {
				t.Errorf("%v, %v", res, err)
			}
		}
		p.unwatch(t)
		if err := srv.WaitSubscriptions(soon(t), watched, 0); err != nil {
			t.Fatal(err)
		}
		update(t, srv, "fourth")
		if got := p.told(); got != nil {
			t.Errorf("told %q after the end of the subscription", got)
		}
		if n := srv.SubscriptionsMade(watched); n != 1 {
			t.Errorf("%d subscriptions were made, want 1", n)
		}
	})
}

func TestTwoClientsWatchOneResource(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		first, second := c.join(t, r, &mcp.ClientOptions{}), c.join(t, r, &mcp.ClientOptions{})
		first.watch(t)
		second.watch(t)
		upstream := 1 // clients that have no session share it
		if c.front == elder && c.back == elder {
			upstream = 2
		}
		if got := srv.Subscriptions(watched); got != upstream {
			t.Errorf("%d subscriptions at the backend, want %d", got, upstream)
		}
		if c.back == modern && srv.SubscriptionsMade(watched) != 1 {
			t.Errorf("%d subscriptions were made, want 1", srv.SubscriptionsMade(watched))
		}
		want := []string{"updated " + watched}
		update(t, srv, "second")
		for i, p := range []*party{first, second} {
			if diff := cmp.Diff(want, p.told()); diff != "" {
				t.Errorf("client %d: %s", i, diff)
			}
		}
		first.unwatch(t)
		update(t, srv, "third")
		if got := first.told(); got != nil {
			t.Errorf("the one that left was told %q", got)
		}
		if diff := cmp.Diff(want, second.told()); diff != "" {
			t.Errorf("the one that stayed: %s", diff)
		}
		second.unwatch(t)
		if err := srv.WaitSubscriptions(soon(t), watched, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestASubscriptionEndsWithItsClient counts what is left at the backend when
// clients go without a word.
func TestASubscriptionEndsWithItsClient(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		p := c.join(t, r, &mcp.ClientOptions{})
		p.watch(t)
		_ = p.Close()
		if err := srv.WaitSubscriptions(soon(t), watched, 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := r.g.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// TestAnInterruptionIsReportedAsAnUpdate, because nobody knows what happened
// meanwhile.
func TestAnInterruptionIsReportedAsAnUpdate(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		p := c.join(t, r, &mcp.ClientOptions{})
		p.watch(t)
		if err := srv.WaitSubscriptions(t.Context(), watched, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := p.told(); got != nil {
			t.Errorf("told %q of nothing", got)
		}
		interruptions := []func(){srv.EndStreams}
		if c.back == elder {
			interruptions = append(interruptions, srv.DropSessions)
		}
		for _, interrupt := range interruptions {
			interrupt()
			time.Sleep(time.Minute)
			// Twice is fair where the gateway has a stream for updates alone.
			if diff := cmp.Diff([]string{"updated " + watched}, slices.Compact(p.told())); diff != "" {
				t.Error(diff)
			}
			if n := srv.Subscriptions(watched); n != 1 {
				t.Errorf("%d subscriptions, want 1", n)
			}
		}
	})
}

func TestWhatAListeningClientIsSent(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{modern, back, "/mcp"}
				srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
				h := c.hand(r, `{}`)
				s := r.stream(h.request(`"L1"`, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["mem://one"]}`))
				other := r.stream(h.request(`2`, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true}`))
				want := `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"L1"},"notifications":{"toolsListChanged":true,"resourceSubscriptions":["mem://one"]}}}`
				if diff := cmp.Diff(want, s.message(t).raw); diff != "" {
					t.Error(diff)
				}
				other.message(t)
				if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
					t.Fatal(err)
				}
				update(t, srv, "second")
				m := s.message(t)
				if diff := cmp.Diff(map[string]any{
					"jsonrpc": "2.0", "method": "notifications/resources/updated",
					"params": map[string]any{"uri": watched, "_meta": map[string]any{"io.modelcontextprotocol/subscriptionId": "L1"}},
				}, decode(t, m.raw)); diff != "" {
					t.Error(diff)
				}
				// The other one asked for something else, and gets that first.
				srv.AddTool(backendtest.Tool{Name: "new"})
				for _, l := range []*stream{s, other} {
					if m := l.message(t); m.Method != "notifications/tools/list_changed" {
						t.Error(m.raw)
					}
				}
				s.close()
				if err := srv.WaitSubscriptions(soon(t), watched, 0); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Whether there is a resource is known at the joint endpoint; at the other one
// the backend is asked.
func TestSubscribingToWhatNobodyHas(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		h := c.hand(r, `{}`)
		if c.front == modern {
			s := r.stream(h.request(`1`, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["mem://nowhere"]}`))
			want := `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"notifications":{"toolsListChanged":true}}}`
			if diff := cmp.Diff(want, s.message(t).raw); diff != "" {
				t.Error(diff)
			}
			s.close()
		} else if all := h.exchange(h.request(`1`, "resources/subscribe", "", `"uri":"mem://nowhere"`)); all[0].Error == nil || all[0].Error.Code != -32002 {
			t.Error(all[0].raw)
		}
		if n := srv.SubscriptionsMade("mem://nowhere"); n != 0 {
			t.Errorf("%d subscriptions", n)
		}
		if a := r.do(h.call(`2`, "who", "")); a.text(t) != "one" {
			t.Error(a.body)
		}
	})
}
