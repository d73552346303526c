// Package backend is the resilient client of one MCP server, over streamable HTTP
// or to a process. A [Client] speaks every revision from 2025-03-26 to
// 2026-07-28, finds out which one the server speaks, opens sessions where the
// revision has them, and keeps calls alive while the server's credential expires,
// is revoked or is rotated: the guard of package guard decides what is sent again,
// and it decides by the HTTP status of an answer alone.
//
//	registry := auth.NewRegistry()
//	client, err := backend.NewHTTPBackendClient(registry, backend.Options{
//		Name: "weather", URL: "https://weather.example.com/mcp",
//	})
//	...
//	result, err := client.CallTool(ctx, "forecast", json.RawMessage(`{"city":"Bern"}`))
//
// Results are the server's bytes. Whatever goes wrong is an *[Error] with a
// [Kind], or an *[RPCError] when the server answered with a JSON-RPC error;
// [ErrAuthenticationFailed] and [ErrBackendUnavailable] are found by errors.Is.
//
// A program that speaks over its standard streams is a backend, too, with
// [NewStdioBackendClient]. Below the guard it is made to look like one that speaks
// HTTP, so that everything here is true of it.
//
// [Transport] is the guard alone, as an http.RoundTripper under any HTTP client.
//
// Two clients share nothing but an *auth.Source that both were given.
//
// Sections of the specification: basic/transports (2025-11-25 and before),
// basic/transports/streamable-http, basic/transports/stdio, basic/versioning,
// server/discover, basic/patterns/cancellation and basic/patterns/subscriptions
// (2026-07-28).
package backend
