// Package wire is the Model Context Protocol as bytes: what goes over the wire,
// without a connection to send it on. It knows JSON-RPC envelopes, the framing
// of server-sent events, the headers that mirror a body, and what the revisions
// of the protocol call things. It opens nothing, logs nothing, starts no
// goroutine and imports nothing of this module.
//
// The rule of the package is that a payload stays as its author wrote it.
// [Scan] reads an envelope once and reports where things are, as [Span]s over
// the caller's buffer; [Splice] and [MetaEdits] change those places and nothing
// else; [AnswerRewriter] and [StreamRewriter] do the same to answers that are
// still arriving. No value is decoded and encoded again, so unknown fields, the
// order of members, white space and the spelling of numbers survive.
//
// JSON is checked in full on the way (grammar, escapes, numbers, nesting up to
// 1000), so a peer never gets broken JSON from us. The bytes of strings are not
// checked for being UTF-8. Where two readers of one document could disagree the
// document is refused: a member that this package looks for may stand in its
// object once only.
//
// # Sections of the specification
//
//   - Messages, request ids, error codes, _meta: basic/index (2026-07-28)
//   - Request metadata, value encoding, x-mcp-header, backward compatibility:
//     basic/transports/streamable-http (2026-07-28)
//   - Eras and negotiation: basic/versioning (2026-07-28), basic/lifecycle
//     (2025-11-25)
//   - resultType: basic/index and basic/patterns/mrtr (2026-07-28)
//   - ttlMs and cacheScope: server/utilities/caching (2026-07-28)
//   - Standing streams: basic/patterns/subscriptions (2026-07-28)
//   - Session ids: basic/transports (2025-11-25)
//   - Event streams: the HTML standard, "Server-sent events"
//
// All functions are safe for concurrent use; the readers ([AnswerRewriter],
// [EventReader], [StreamRewriter]) belong to one goroutine each.
package wire
