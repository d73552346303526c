package wire

import "fmt"

// Initialize is the result of initialize (basic/lifecycle, 2025-11-25). Raw
// members share memory with the parsed result and are nil when absent.
type Initialize struct {
	Revision     Revision // the server's choice, as it stands there
	Capabilities []byte   // raw
	ServerInfo   []byte   // raw
	Instructions string
}

// ParseInitialize reads the result of initialize, which is the Result of an
// [Answer]. The error wraps ErrInvalid when it is no object or names no
// version. Whether the revision is one we speak is left to the caller.
func ParseInitialize(result []byte) (Initialize, error) {
	var in Initialize
	o := object{cursor: cursor{b: result}}
	for o.next() {
		switch string(o.name) {
		case "protocolVersion":
			in.Revision = Revision(o.text())
		case "capabilities":
			in.Capabilities = o.raw()
		case "serverInfo":
			in.ServerInfo = o.raw()
		case "instructions":
			in.Instructions = o.text()
		}
	}
	if err := o.err(); err != nil {
		return Initialize{}, fmt.Errorf("result of initialize: %w", err)
	}
	if in.Revision == "" {
		return Initialize{}, fmt.Errorf("result of initialize: %w: no protocolVersion", ErrInvalid)
	}
	return in, nil
}

// Discover is the result of server/discover (server/discover, 2026-07-28). Raw
// members share memory with the parsed result and are nil when absent.
type Discover struct {
	Supported    []string // versions, in the server's order; see [Newest]
	Capabilities []byte   // raw
	ServerInfo   []byte   // raw, from _meta
	Instructions string
}

// ParseDiscover reads the result of server/discover, which is the Result of an
// [Answer]. The error wraps ErrInvalid when it is no object or names no
// version.
func ParseDiscover(result []byte) (Discover, error) {
	var d Discover
	o := object{cursor: cursor{b: result}}
	for o.next() {
		switch string(o.name) {
		case "supportedVersions":
			d.Supported = texts(o.raw())
		case "capabilities":
			d.Capabilities = o.raw()
		case "instructions":
			d.Instructions = o.text()
		case "_meta":
			meta := object{cursor: cursor{b: o.raw()}}
			for meta.next() {
				if string(meta.name) == MetaServerInfo {
					d.ServerInfo = meta.raw()
				}
			}
		}
	}
	if err := o.err(); err != nil {
		return Discover{}, fmt.Errorf("result of server/discover: %w", err)
	}
	if len(d.Supported) == 0 {
		return Discover{}, fmt.Errorf("result of server/discover: %w: no supportedVersions", ErrInvalid)
	}
	return d, nil
}

// ParseUnsupported reads the data of an UnsupportedProtocolVersionError: the
// versions the server supports and the one it was asked for. Without a list
// the error wraps ErrInvalid. The same shape stands in the error that elder
// servers give to initialize.
func ParseUnsupported(data []byte) (supported []string, requested string, err error) {
	o := object{cursor: cursor{b: data}}
	for o.next() {
		switch string(o.name) {
		case "supported":
			supported = texts(o.raw())
		case "requested":
			requested = o.text()
		}
	}
	if err := o.err(); err != nil {
		return nil, "", fmt.Errorf("data of the version error: %w", err)
	}
	if len(supported) == 0 {
		return nil, "", fmt.Errorf("data of the version error: %w: no supported versions", ErrInvalid)
	}
	return supported, requested, nil
}

// IsModernError reports whether body, of an HTTP error answer to a request in
// the manner of 2026-07-28, proves that the server knows that era
// (streamable-http, "Backward Compatibility"). Only a JSON-RPC error response
// with one of the codes that the specification defined for it does: header
// mismatch, missing capability, unsupported version. The range these are from
// is reserved, so no elder server uses them for anything else.
//
// MethodNotFound and InvalidParams prove nothing, although modern servers
// answer with them and HTTP status 404 or 400: elder servers do so as well, for
// a method they do not know, such as server/discover, which every modern server
// does know, or for a request outside of a session. Reserved codes without a
// meaning so far are not recognized either. The data of the error is not looked
// at.
//
// A modern error is not the last word about the revision: a server may answer
// UnsupportedVersion and name elder revisions only. [ParseUnsupported] and
// [Newest] tell; what is not [Revision.Stateless] is opened with initialize.
func IsModernError(body []byte) bool {
	a, err := ScanAnswer(body)
	if err != nil || !a.Error.Present() || a.Result.Present() {
		return false
	}
	e, err := Scan(body)
	if err != nil || e.Kind != Response {
		return false
	}
	switch a.ErrorCode {
	case HeaderMismatch, MissingCapability, UnsupportedVersion:
		return true
	}
	return false
}

// object visits the members of a document that is one object, for the few
// answers that are read and not passed on. Of a member that occurs twice the
// last one counts, as with most readers.
type object struct {
	cursor
	name    []byte
	started bool
	taken   bool // the value at the cursor was read
	not     bool // the document is no object
}

// next goes to the next member: its name is in o.name, its value is for text or
// raw, or is skipped.
func (o *object) next() bool {
	if !o.started {
		o.started = true
		if o.peek() != '{' {
			o.not = true
			return false
		}
		if !o.open('}') {
			return false
		}
	} else {
		if !o.taken {
			o.skip()
		}
		if !o.more('}') {
			return false
		}
	}
	o.taken = false
	o.name = o.key()
	return o.bad == nil
}

// raw returns the member's value, nil for null.
func (o *object) raw() []byte {
	o.taken = true
	v := o.value()
	if o.bad != nil || o.b[v.Start] == 'n' {
		return nil
	}
	return v.Of(o.b)
}

// text returns the member's value if it is a string, else "".
func (o *object) text() string {
	s, _ := Unquote(o.raw())
	return s
}

func (o *object) err() error {
	if o.not {
		return fmt.Errorf("%w: not an object", ErrInvalid)
	}
	if o.cursor.end(); o.bad != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, o.bad)
	}
	return nil
}

// texts returns the strings of a sound array; what is no string is left out.
func texts(raw []byte) (list []string) {
	for v := range elements(raw) {
		if s, ok := Unquote(v); ok {
			list = append(list, s)
		}
	}
	return list
}
