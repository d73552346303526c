// Package recloser is the root of Recloser, a virtual MCP server: one MCP
// endpoint in front of many MCP servers that keeps answering while credentials
// expire, are revoked or rotated, and while backends hang, crash or come back.
//
// The package itself holds no code. Start at one of these:
//
//   - package backend, the resilient MCP client, to use the recovery in a Go
//     program; its Transport stands under any HTTP client,
//   - cmd/recloser, the gateway as one binary,
//   - package backendtest, faulty MCP servers and a token server for tests.
//
// Packages live on floors, and an import only ever points down:
// docs/architecture.md has the drawing, floors_test.go enforces it.
package recloser
