package wire

import "fmt"

// Span is a part of a document: the bytes from Start up to End. The zero Span
// means absent, as no value of a message begins at offset 0.
type Span struct{ Start, End int }

// Present reports whether there is something at s.
func (s Span) Present() bool { return s.End > s.Start }

// Of returns the bytes of s in b, nil when s is absent.
func (s Span) Of(b []byte) []byte {
	if !s.Present() {
		return nil
	}
	return b[s.Start:s.End:s.End]
}

// Kind is what sort of message an envelope holds.
type Kind uint8

// The kinds of messages.
const (
	Request      Kind = iota + 1 // a method and an id
	Notification                 // a method and no id
	Response                     // a result or an error
	Batch                        // an array; no revision since 2025-06-18 has them
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Response:
		return "response"
	case Batch:
		return "batch"
	}
	return "invalid"
}

// Envelope says what a message is and where its parts stand. All spans hold
// raw JSON values, strings with their quotes; they index the buffer that was
// scanned, and stay valid as long as that is not changed.
//
// A member that is null counts as absent, with one exception: the spans of
// Params, Meta and Arguments cover the null, so that it can be replaced.
type Envelope struct {
	Kind   Kind
	Method string // unescaped; the constant of this package for a known method

	MethodAt Span // the method's value
	ID       Span // a string or an integer
	Params   Span // an object or null
	Result   Span // of a Response; any value
	Error    Span // of a Response; an object

	// Members of params.
	Name      Span // a string: tools, prompts
	URI       Span // a string: resources
	Cursor    Span // a string: lists
	Arguments Span // any value
	RequestID Span // of notifications/cancelled: a string or a number

	// Members of params.ref, the reference of completion/complete.
	RefType Span // a string: "ref/prompt" or "ref/resource"
	RefName Span // a string
	RefURI  Span // a string: a URI or a URI template

	// Members of params._meta. ProgressToken is that of params itself in a
	// notifications/progress.
	Meta               Span // an object or null
	ProgressToken      Span // a string or a number
	ProtocolVersion    Span // a string
	ClientInfo         Span // any value, as the next one
	ClientCapabilities Span
	LogLevel           Span // a string
	SubscriptionID     Span // a string or a number
}

// Get returns the bytes of s in b, nil when s is absent. It is s.Of(b), for
// those who hold the envelope.
func (e *Envelope) Get(b []byte, s Span) []byte { return s.Of(b) }

// Revision returns the protocol version that the message declares in its _meta,
// "" when it declares none: then it belongs to an elder revision.
func (e *Envelope) Revision(b []byte) Revision {
	text, ok := UnquoteBytes(nil, e.ProtocolVersion.Of(b))
	if !ok {
		return ""
	}
	for _, r := range revisions {
		if string(text) == string(r) {
			return r
		}
	}
	return Revision(text)
}

// NameAt returns the span of the value that the Mcp-Name header mirrors, absent
// when the method has none or the request lacks it.
func (e *Envelope) NameAt() Span {
	switch NameField(e.Method) {
	case "name":
		return e.Name
	case "uri":
		return e.URI
	}
	return Span{}
}

// ScanError says why a document is no message. It never quotes the document.
type ScanError struct {
	Code   int    // ParseError, InvalidRequest or InvalidParams
	Offset int    // where, in bytes
	Msg    string // what
}

// Error returns the message and the offset.
func (e *ScanError) Error() string { return fmt.Sprintf("%s at offset %d", e.Msg, e.Offset) }
