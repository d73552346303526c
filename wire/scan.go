package wire

import "bytes"

// Members that may stand once only, as bits of scanner.seen.
const (
	seenVersion = 1 << iota
	seenID
	seenMethod
	seenParams
	seenResult
	seenError
	seenName
	seenURI
	seenCursor
	seenArguments
	seenMeta
	seenRef
	seenRequestID
	seenToken
	seenMetaToken
	seenProtocol
	seenClientInfo
	seenCapabilities
	seenLogLevel
	seenSubscription
	seenRefType
	seenRefName
	seenRefURI
)

const (
	msgObject    = "message is not an object"
	msgVersion   = `jsonrpc is not "2.0"`
	msgID        = "id is not a string or an integer"
	msgMethod    = "method is not a string"
	msgParams    = "params is not an object"
	msgMeta      = "params._meta is not an object"
	msgCase      = "member differs from a known one in case only"
	msgTwice     = "member occurs twice"
	msgShape     = "neither a request nor a response"
	msgBoth      = "result and error in one response"
	msgError     = "error is not an object"
	msgNoID      = "response without an id"
	msgNotAnswer = "message is not a response"
)

// Scan reads one JSON-RPC message, checks it in full and reports its parts. It
// allocates nothing for a message whose method is known and whose member names
// have no escapes. b must hold one JSON document and nothing else.
//
// A member that Scan looks for may stand once only in its object, and under a
// method of the protocol none may stand there that differs from it only in
// case: servers would not agree on what was asked.
//
// The error is a *[ScanError]. Its code is ParseError for what is not JSON,
// InvalidRequest for what is not a message (wrong members, an id that is
// neither string nor integer, nesting beyond 1000) and InvalidParams for faults
// inside params; the last two are reported only for sound JSON, and the envelope
// returned with them holds the ID if there is one, for the answer. An array is
// no error but a [Batch] with nothing else set: refuse it.
func Scan(b []byte) (Envelope, error) {
	s := scanner{cursor: cursor{b: b}}
	switch s.peek() {
	case '{':
		s.message()
	case '[':
		s.skip()
		s.e.Kind = Batch
	default:
		s.refuse(InvalidRequest, s.i, msgObject)
		s.skip()
	}
	s.end()
	if s.bad != nil {
		if s.bad.Code == ParseError {
			s.e = Envelope{} // what was read of it may be half a token
		}
		return s.e, s.bad
	}
	if s.refused != nil {
		return s.e, s.refused
	}
	return s.e, nil
}

// scanner fills an envelope. Faults of grammar stop it; what is sound JSON and
// no proper message is noted as refused and the scan goes on, so that the error
// answer can carry the id, wherever that stands.
type scanner struct {
	cursor
	e        Envelope
	seen     uint32
	refused  *ScanError
	progress Span // the token in params itself
	folded   int  // where params has a name that is like a known one, 0 if nowhere
}

var (
	messageMembers = [][]byte{[]byte("jsonrpc"), []byte("id"), []byte("method"), []byte("params"), []byte("result"), []byte("error")}
	paramsMembers  = [][]byte{[]byte("name"), []byte("uri"), []byte("arguments"), []byte("_meta"), []byte("cursor"), []byte("ref"), []byte("requestId")}
	refMembers     = [][]byte{[]byte("type"), []byte("name"), []byte("uri")}
)

// alike reports whether a name that is not known would be for a reader that
// does not regard case, as encoding/json does not: what that takes for the
// method or for the name of a tool must not pass unseen.
func alike(name []byte, known [][]byte) bool {
	for _, k := range known {
		if bytes.EqualFold(name, k) {
			return true
		}
	}
	return false
}

func (s *scanner) refuse(code, offset int, msg string) {
	if s.refused == nil {
		s.refused = &ScanError{Code: code, Offset: offset, Msg: msg}
	}
}

// once notes that a member has been seen; a second one is refused.
func (s *scanner) once(bit uint32, code int) {
	if s.seen&bit != 0 {
		s.refuse(code, s.i, msgTwice)
	}
	s.seen |= bit
}

// at returns the byte at the cursor, 0 at the end.
func (s *scanner) at() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) message() {
	for ok := s.open('}'); ok; ok = s.more('}') {
		key := s.key()
		switch string(key) {
		case "jsonrpc":
			s.once(seenVersion, InvalidRequest)
			if v := s.value(); string(v.Of(s.b)) != `"2.0"` {
				s.version(v)
			}
		case "id":
			s.once(seenID, InvalidRequest)
			s.id()
		case "method":
			s.once(seenMethod, InvalidRequest)
			s.method()
		case "params":
			s.once(seenParams, InvalidRequest)
			s.params()
		case "result":
			s.once(seenResult, InvalidRequest)
			s.e.Result = s.value()
		case "error":
			s.once(seenError, InvalidRequest)
			s.errorObject()
		default:
			if alike(key, messageMembers) {
				s.refuse(InvalidRequest, s.i, msgCase)
			}
			s.skip()
		}
	}
	if s.bad == nil {
		s.classify()
	}
}

// version accepts the version written with escapes, which nobody does.
func (s *scanner) version(v Span) {
	if text, ok := Unquote(v.Of(s.b)); s.bad == nil && (!ok || text != "2.0") {
		s.refuse(InvalidRequest, v.Start, msgVersion)
	}
}

// classify decides what the message is, once all its members are known.
func (s *scanner) classify() {
	e := &s.e
	if s.seen&seenVersion == 0 {
		s.refuse(InvalidRequest, s.i-1, msgVersion)
	}
	if s.folded > 0 && ClassOf(e.Method) != ClassUnknown {
		s.refuse(InvalidParams, s.folded, msgCase)
	}
	// A notification may have a _meta too, and what that holds is its own.
	if s.progress.Present() && (e.Method == NoteProgress || !e.ProgressToken.Present()) {
		e.ProgressToken = s.progress
	}
	request := s.seen&seenMethod != 0
	response := e.Result.Present() || e.Error.Present()
	switch {
	case request == response:
		s.refuse(InvalidRequest, s.i-1, msgShape)
	case request && s.seen&seenID != 0:
		e.Kind = Request
		if !e.ID.Present() {
			s.refuse(InvalidRequest, s.i-1, msgID)
		}
	case request:
		e.Kind = Notification
	default:
		e.Kind = Response
		if e.Result.Present() && e.Error.Present() {
			s.refuse(InvalidRequest, s.i-1, msgBoth)
		}
		if e.Result.Present() && !e.ID.Present() {
			s.refuse(InvalidRequest, s.i-1, msgNoID)
		}
	}
}

// id reads the request id. The specification narrows JSON-RPC's numbers to
// integers; a fraction or an exponent is refused. null is left absent, which
// only an error response may do.
func (s *scanner) id() {
	start, twice := s.i, s.e.ID.Present()
	switch c := s.at(); {
	case c == 'n':
		s.skip()
		return
	case startsNumber(c):
		end, integer, ok := numberEnd(s.b, s.i)
		if ok && !integer {
			s.refuse(InvalidRequest, s.i, msgID)
			s.i = end
			return
		}
		s.skip()
	case c == '"':
		s.skip()
	default:
		s.refuse(InvalidRequest, s.i, msgID)
		s.skip()
		return
	}
	if s.e.ID = (Span{start, s.i}); twice {
		s.e.ID = Span{} // which of the two to answer is anybody's guess
	}
}

func (s *scanner) method() {
	start := s.i
	if s.at() != '"' {
		s.refuse(InvalidRequest, s.i, msgMethod)
		s.skip()
		return
	}
	end, escaped, ok := stringEnd(s.b, start+1)
	if s.i = end; !ok {
		s.fail(ParseError, end, msgString)
		return
	}
	s.e.MethodAt = Span{start, end}
	text := s.b[start+1 : end-1]
	if escaped {
		text = unescape(nil, text)
	}
	s.e.Method = intern(text)
}

// errorObject reads the error of a response; null is left absent.
func (s *scanner) errorObject() {
	c, v := s.at(), s.value()
	switch c {
	case '{':
		s.e.Error = v
	case 'n':
	default:
		s.refuse(InvalidRequest, v.Start, msgError)
	}
}

// text returns the span of the value at the cursor if it is a string, and
// skips it whatever it is.
func (s *scanner) text() (v Span) {
	if s.at() == '"' {
		return s.value()
	}
	s.skip()
	return v
}

// token returns the span of the value at the cursor if it is a string or a
// number, and skips it whatever it is.
func (s *scanner) token() (v Span) {
	if c := s.at(); c == '"' || startsNumber(c) {
		return s.value()
	}
	s.skip()
	return v
}
