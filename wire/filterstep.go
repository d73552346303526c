package wire

import "bytes"

// structure takes a byte that is no white space and stands outside of strings,
// numbers and literals.
func (f *filter) structure(c byte, i int) bool {
	switch f.state {
	case atValue:
		return f.begin(c, i)
	case atFirstElem:
		return c == ']' && f.close(c, i) || c != ']' && f.begin(c, i)
	case atFirstKey:
		return c == '"' && f.beginKey() || c == '}' && f.close(c, i)
	case atKey:
		return c == '"' && f.beginKey()
	case atColon:
		f.state = atValue
		return c == ':'
	case afterValue:
		if c != ',' {
			return f.close(c, i)
		}
		f.state = atValue
		if f.stack.object(f.depth) {
			f.state = atKey
		}
		return true
	}
	return false // behind the document
}

// begin starts a value at p[i].
func (f *filter) begin(c byte, i int) bool {
	if f.depth == 0 && c != '{' {
		return false // a response is an object
	}
	if f.depth == 1 && !f.beginTop(c, i) {
		return false
	}
	switch {
	case c == '"':
		f.state = inString
	case c == '{' || c == '[':
		if f.depth == maxDepth {
			return false
		}
		f.depth++
		f.stack.set(f.depth, c == '{')
		f.state = atFirstElem
		if c == '{' {
			f.state = atFirstKey
		}
	case c == '-':
		f.state = numSign
	case c == '0':
		f.state = numZero
	case isDigit(c):
		f.state = numInt
	case c == 't' || c == 'f' || c == 'n':
		f.state, f.word = inLiteral, literal(c)[1:]
	default:
		return false
	}
	return true
}

// beginTop starts the value of a top-level member.
func (f *filter) beginTop(c byte, i int) bool {
	switch f.role {
	case seenID:
		if c != '"' && c != 'n' && !startsNumber(c) {
			return false
		}
		if f.o.ID != nil {
			f.replace(i, i, f.o.ID)
			f.mute = true
		}
	case seenResult:
		f.inResult = c == '{'
	case seenError:
		f.isError = c == '{'
		if c != '{' && c != 'n' {
			return false
		}
	}
	f.role = 0
	return true
}

// replace puts in in the place of p[from:to].
func (f *filter) replace(from, to int, in []byte) {
	f.out = append(append(f.out, f.p[f.last:from]...), in...)
	f.last, f.changed = to, true
}

func (f *filter) beginKey() bool {
	f.state, f.isKey, f.key = inString, true, f.key[:0]
	f.track = f.depth == 1 || f.depth == 2 && f.inResult
	return true
}

// stringDone ends a string whose closing quote stands before i.
func (f *filter) stringDone(i int) {
	if !f.isKey {
		f.valueDone(i)
		return
	}
	f.state, f.isKey = atColon, false
	if !f.track {
		return
	}
	f.track = false
	key := f.key
	if bytes.IndexByte(key, '\\') >= 0 && len(key) <= f.maxKey {
		key = unescape(nil, key)
	}
	if f.depth == 2 {
		f.have |= memberBit(f.o.Members, key)
		return
	}
	switch string(key) {
	case "id":
		f.role = seenID
	case "result":
		f.role = seenResult
	case "error":
		f.role = seenError
	case "method":
		f.fail(i, msgNotAnswer)
	}
	if f.seen&f.role != 0 {
		f.fail(i, msgTwice)
	}
	f.seen |= f.role
}

// close ends the container of which c, at p[i], should be the end.
func (f *filter) close(c byte, i int) bool {
	if c != closing(f.stack.object(f.depth)) {
		return false
	}
	f.depth--
	switch {
	case f.depth == 1 && f.inResult:
		f.inResult = false
		if in := appendMissing(nil, f.o.Members, f.have, f.state == atFirstKey); len(in) > 0 {
			f.replace(i, i, in)
		}
	case f.depth == 0:
		if f.seen&seenResult == 0 && !f.isError {
			f.fail(i, msgNotAnswer)
			return true
		}
		if f.o.ID != nil && f.seen&seenID == 0 {
			f.replace(i, i, appendID(nil, f.o.ID))
		}
	}
	f.valueDone(i + 1)
	return true
}

// valueDone ends a value that reaches up to i.
func (f *filter) valueDone(i int) {
	if f.mute {
		f.mute, f.last = false, i
	}
	if f.state = afterValue; f.depth == 0 {
		f.state = atEnd
	}
}
