package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

// asked counts requests to a server from now on, by method.
func asked(s *backendtest.Server) func(method string) int {
	before := map[string]int{}
	for _, m := range []string{"server/discover", "tools/list", "tools/call"} {
		before[m] = s.Requests(m)
	}
	return func(method string) int { return s.Requests(method) - before[method] }
}

// When calls have opened a breaker, a probe finds out at once whether lists are
// refused, too; when one call has closed it, the lists are read again at once.
func TestABreakerHasTheMonitorAndTheCatalogLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithToken("t"))
		r := start(t, fmt.Sprintf("health: {interval: 1h}\nmcpServers: {a: {url: %q, auth: {type: bearer, token: t}, authRetry: {openAfter: 1}}}", srv.URL), nil, peers{srv})
		sleep(time.Minute) // its beginning is over: the stream of changes is open
		srv.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call"))
		opening := asked(srv)
		if reason := r.call("a_echo").reason(t); reason != "auth_refused" {
			t.Fatalf("the call that opens the breaker: %q", reason)
		}
		sleep(time.Second)
		wantCount(t, "probes when it has opened", opening("server/discover"), 1)
		wantCount(t, "lists read when it has opened", opening("tools/list"), 0)

		srv.Heal()
		closing := asked(srv)
		if reason := r.call("a_echo").reason(t); reason != "" {
			t.Fatalf("the call that closes the breaker: %q", reason)
		}
		sleep(time.Second)
		wantCount(t, "lists read when it has closed", closing("tools/list"), 1)
	})
}

// The first probe that is answered after some that were not has the lists read
// again; probes that follow do not.
func TestTheFirstAnsweredProbeHasTheListsReadAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t)
		start(t, fmt.Sprintf("health: {interval: 10s}\nmcpServers: {a: {url: %q}}", srv.URL), nil, peers{srv})
		sleep(time.Minute)
		down := asked(srv)
		srv.Inject(backendtest.Status(503, backendtest.Forever).ForMethod("server/discover"))
		sleep(35 * time.Second)
		if n := down("server/discover"); n < 3 {
			t.Fatalf("%d probes in 35 s", n)
		}
		wantCount(t, "lists read while probes fail", down("tools/list"), 0)
		srv.Heal()
		sleep(12 * time.Second)
		wantCount(t, "lists read after the first answered probe", down("tools/list"), 1)
		sleep(time.Minute)
		wantCount(t, "lists read a minute later", down("tools/list"), 1)
	})
}
