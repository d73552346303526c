// Package status says how the gateway and its backends are, and what a reader can
// do about it. It holds data and pure functions only: the facts are gathered
// elsewhere, and [Derive] makes one [Backend] of them, [Summarize] one [Status] of
// all backends.
//
// The same structs are the answer of GET /api/v1/status, what the command line and
// the console show, and what the operator copies into a resource's status. Reason
// codes are stable: alerts and scripts may depend on them. [Explain] has for each
// its cause, what the gateway did about it, and what the reader does;
// docs/errors.md is made from that text.
//
// Nothing in this package ever holds a credential. Those who fill in a [Challenge]
// or a [Failure] pass on codes, never the backend's own words, since a backend may
// echo what it was sent.
package status
