package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Errors of the functions and readers that handle answers. Test with errors.Is.
var (
	// ErrTruncated: the document, event or stream ended before it was complete.
	// It matches io.ErrUnexpectedEOF too.
	ErrTruncated error = truncatedError{}
	// ErrInvalid: what arrived is not JSON or not the message that belongs here.
	ErrInvalid = errors.New("invalid answer")
	// ErrTooLarge: an event or a document exceeds its bound.
	ErrTooLarge = errors.New("answer too large")
)

type truncatedError struct{}

// Error returns the message.
func (truncatedError) Error() string { return "answer ended early" }

// Is makes the error match that of a body that was cut.
func (truncatedError) Is(target error) bool { return target == io.ErrUnexpectedEOF }

// Answer says where the parts of a response stand. Spans hold raw JSON.
type Answer struct {
	ID         Span // absent when the answer has none or null
	Result     Span // any value
	ResultType Span // of an object Result: its resultType, if that is a string
	Error      Span // an object; absent when null
	ErrorCode  int  // 0 when there is no error or its code is no integer
	Message    Span // of the error: a string
	Data       Span // of the error: any value
}

// ScanAnswer reads one response and checks it in full. It does not insist on an
// id nor on the jsonrpc member, which the receiving client checks for itself.
// The error is ErrTruncated for a document that ends early and ErrInvalid for
// what is not JSON or not a response.
func ScanAnswer(doc []byte) (Answer, error) {
	s := answerScan{cursor: cursor{b: doc}}
	s.run()
	return s.a, s.err()
}

// RewriteOptions say what becomes of a response. The zero value changes
// nothing.
type RewriteOptions struct {
	// ID is raw JSON that takes the place of the id; nil leaves it. An answer
	// without an id gets one.
	ID []byte
	// Members are put at the end of the result, if that is an object, each
	// unless the result has a member of that name already. At most 64.
	Members []KV
}

// RewriteAnswer appends the response doc to dst, rewritten as o says; every
// other byte stays as it is. dst must not share memory with doc. Errors are
// those of [ScanAnswer]; dst is then returned as it was.
func RewriteAnswer(dst, doc []byte, o RewriteOptions) ([]byte, error) {
	s := answerScan{cursor: cursor{b: doc}, members: o.Members}
	s.run()
	if err := s.err(); err != nil {
		return dst, err
	}
	var room [3]Edit
	edits := s.edits(room[:0], o)
	if len(edits) == 0 {
		return append(dst, doc...), nil
	}
	return Splice(dst, doc, edits...), nil
}

// answerScan is the single pass over a complete response. It finds what
// rewriting needs as well: where objects end and which members are missing.
type answerScan struct {
	cursor
	a       Answer
	members []KV

	method    bool   // it is no response, but a request or a notification
	seen      uint32 // top-level members
	idAt      Span   // the id's value, null included
	resultEnd int    // offset of the closing brace of an object result
	empty     bool   // that object has no members
	have      uint64 // bit n: the result has members[n]
	end       int    // offset of the closing brace of the document
}

func (s *answerScan) run() {
	if s.peek() != '{' {
		s.skip()
		s.fail(InvalidRequest, 0, msgObject)
		return
	}
	for ok := s.open('}'); ok; ok = s.more('}') {
		switch string(s.key()) {
		case "id":
			s.once(seenID)
			s.idAt = s.value()
			s.checkID()
		case "result":
			s.once(seenResult)
			s.result()
		case "error":
			s.once(seenError)
			s.errorObject()
		case "method":
			s.method = true
			s.skip()
		default:
			s.skip()
		}
	}
	s.end = s.i - 1
	s.cursor.end()
}

// response reports whether the document, if it is sound, is a response.
func (s *answerScan) response() bool {
	return !s.method && (s.seen&seenResult != 0 || s.a.Error.Present())
}

func (s *answerScan) once(bit uint32) {
	if s.seen&bit != 0 {
		s.fail(InvalidRequest, s.i, msgTwice)
	}
	s.seen |= bit
}

// checkID accepts strings, numbers and null.
func (s *answerScan) checkID() {
	if s.bad != nil {
		return
	}
	switch c := s.b[s.idAt.Start]; {
	case c == '"' || startsNumber(c):
		s.a.ID = s.idAt
	case c != 'n':
		s.fail(InvalidRequest, s.idAt.Start, msgID)
	}
}

func (s *answerScan) result() {
	start := s.i
	if s.bad != nil || start == len(s.b) || s.b[start] != '{' {
		s.a.Result = s.value()
		return
	}
	s.empty = true
	for ok := s.open('}'); ok; ok = s.more('}') {
		s.empty = false
		key := s.key()
		s.have |= memberBit(s.members, key)
		if string(key) == "resultType" && s.i < len(s.b) && s.b[s.i] == '"' {
			s.a.ResultType = s.value()
			continue
		}
		s.skip()
	}
	s.resultEnd = s.i - 1
	s.a.Result = Span{start, s.i}
}

// memberBit returns the bit of the member with that name, 0 if there is none.
func memberBit(members []KV, key []byte) uint64 {
	for n := range members {
		if members[n].Key == string(key) {
			return 1 << n
		}
	}
	return 0
}

func (s *answerScan) errorObject() {
	start := s.i
	if s.bad != nil || start == len(s.b) || s.b[start] != '{' {
		if s.skip(); s.bad == nil && s.b[start] != 'n' {
			s.fail(InvalidRequest, start, msgError)
		}
		return
	}
	for ok := s.open('}'); ok; ok = s.more('}') {
		switch key := s.key(); string(key) {
		case "code":
			v := s.value()
			s.a.ErrorCode, _ = strconv.Atoi(string(v.Of(s.b)))
		case "message":
			if v := s.value(); s.bad == nil && s.b[v.Start] == '"' {
				s.a.Message = v
			}
		case "data":
			s.a.Data = s.value()
		default:
			s.skip()
		}
	}
	s.a.Error = Span{start, s.i}
}

// err returns the fault as an error of this file.
func (s *answerScan) err() error {
	if s.bad == nil && !s.response() {
		s.fail(InvalidRequest, s.end, msgNotAnswer)
	}
	switch {
	case s.bad == nil:
		return nil
	case s.bad.Code == ParseError && s.bad.Offset >= len(s.b):
		return ErrTruncated
	}
	return fmt.Errorf("%w: %w", ErrInvalid, s.bad)
}

// edits appends what o asks for, in order.
func (s *answerScan) edits(dst []Edit, o RewriteOptions) []Edit {
	switch {
	case o.ID == nil || bytes.Equal(s.idAt.Of(s.b), o.ID):
	case s.idAt.Present():
		dst = append(dst, Edit{s.idAt, o.ID})
	default:
		dst = append(dst, Edit{Span{s.end, s.end}, appendID(nil, o.ID)})
	}
	if s.resultEnd > 0 {
		if in := appendMissing(nil, o.Members, s.have, s.empty); len(in) > 0 {
			dst = append(dst, Edit{Span{s.resultEnd, s.resultEnd}, in})
		}
	}
	return dst
}

// appendID appends the id as a last member of a response, which has others.
func appendID(dst, id []byte) []byte {
	return append(append(dst, `,"id":`...), id...)
}

// appendMissing appends the members that have lacks, as last members of an
// object.
func appendMissing(dst []byte, members []KV, have uint64, empty bool) []byte {
	if dst == nil && len(members) > 0 {
		dst = make([]byte, 0, 64) // room for those of ModernMembers
	}
	for n, kv := range members {
		if have>>n&1 != 0 {
			continue
		}
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst = append(append(Quote(dst, kv.Key), ':'), kv.Value...)
	}
	return dst
}
