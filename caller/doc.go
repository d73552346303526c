// Package caller answers two questions about a request before the gateway looks
// at it: where does it come from, and who makes it.
//
// A [Guard] checks the headers Origin and Host, which keeps web pages out (MCP
// 2026-07-28, basic/transports/streamable-http, "Security Warning"). An
// [Authenticator] checks the credential of the request and names its owner as an
// [Identity] (MCP 2026-07-28, basic/authorization; RFC 6750 section 3). Both
// answer a request that they refuse with an [Error], which is the HTTP status, the
// challenge and a JSON-RPC error without an id.
//
// The credentials here are the callers' towards the gateway. They are never passed
// on to a backend; package auth holds those that are.
package caller
