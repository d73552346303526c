// Package backendtest runs faulty MCP servers and a token server for tests.
//
// A [Server] is a real MCP server (the official Go SDK by default, mcp-go with
// [WithMCPGo]) that speaks revision 2026-07-28 and the elder ones, behind a
// layer that counts what arrives and breaks what is asked of it: refusals,
// resets, hangs, cut bodies, lost sessions. An [Issuer] is an OAuth 2.0 token
// endpoint whose tokens expire, are revoked, or are never accepted.
//
//	issuer := backendtest.NewIssuer(t, backendtest.WithTTL(10*time.Second))
//	srv := backendtest.NewServer(t, backendtest.WithBearer(issuer))
//	srv.Inject(backendtest.Status(502, 1).ForMethod("tools/call"))
//	// ... point a client at srv.URL ...
//	if got := srv.Executions("echo"); got != 1 { ... }
//
// A running tool talks to the client that called it with [Progress], [Log],
// [Elicit], [Sample], [Roots] and [Ask], in the way of the revision that the
// client speaks; [Server.UpdateResource] tells those who subscribed.
//
// Both listen on a loopback port. With [WithPipe] they live in memory instead
// and are reached through their Dial method; every wait is then one that
// testing/synctest sees as durable, so that time is virtual and a test of a
// five minute cool-down takes no time at all. Servers, issuers and clients must
// be made inside the bubble that uses them.
//
// Over stdio a server is served by [Server.ServeStdio], in memory or in a process
// of its own: [Programs] are what a test binary can be when it is started again,
// and a [Program] knows the processes.
//
// [StartServer] and [StartIssuer] need no testing.TB and serve demos and
// programs; their Close ends every goroutine they started.
//
// Everything here is safe for concurrent use unless its comment says otherwise.
package backendtest
