package wire

// Messages of syntax errors. They never hold a byte of the document.
const (
	msgEnd      = "document ends early"
	msgToken    = "unexpected character"
	msgString   = "control character or broken escape in a string"
	msgNumber   = "malformed number"
	msgLiteral  = "malformed literal"
	msgDeep     = "nested deeper than 1000"
	msgTrailing = "more data after the document"
)

// cursor walks a JSON document once, forward. Members of the objects that
// matter are visited with open, key and more; everything else is checked and
// skipped by skip. After the first fault bad is set and every step is a no-op
// that ends the loops.
type cursor struct {
	b     []byte
	i     int
	depth int
	bad   *ScanError
}

// fail records the first fault and leaves the document.
func (c *cursor) fail(code, offset int, msg string) {
	if c.bad != nil {
		return
	}
	if offset >= len(c.b) && code == ParseError {
		msg = msgEnd
	}
	c.bad = &ScanError{Code: code, Offset: offset, Msg: msg}
}

// peek skips white space and returns the byte that follows, 0 at the end.
func (c *cursor) peek() byte {
	for c.i < len(c.b) {
		ch := c.b[c.i]
		if ch > ' ' || !isSpace(ch) {
			return ch
		}
		c.i++
	}
	return 0
}

// open enters the container at the cursor, whose closing bracket is end, and
// reports whether it has a first element.
func (c *cursor) open(end byte) bool {
	if c.bad != nil {
		return false
	}
	if c.depth++; c.depth > maxDepth {
		c.fail(InvalidRequest, c.i, msgDeep)
		return false
	}
	c.i++
	if c.peek() == end {
		c.i++
		c.depth--
		return false
	}
	return true
}

// more goes from one element to the next and reports whether there is one; at
// the closing bracket it leaves the container.
func (c *cursor) more(end byte) bool {
	if c.bad != nil {
		return false
	}
	switch c.peek() {
	case ',':
		c.i++
		c.peek()
		return true
	case end:
		c.i++
		c.depth--
	default:
		c.fail(ParseError, c.i, msgToken)
	}
	return false
}

// key reads a member's name and its colon and stops at the value. Escapes in
// the name are resolved, which allocates.
func (c *cursor) key() []byte {
	if c.bad != nil {
		return nil
	}
	if c.i == len(c.b) || c.b[c.i] != '"' {
		c.fail(ParseError, c.i, msgToken)
		return nil
	}
	start := c.i
	end, escaped, ok := stringEnd(c.b, start+1)
	if !ok {
		c.fail(ParseError, end, msgString)
		return nil
	}
	c.i = end
	if c.peek() != ':' {
		c.fail(ParseError, c.i, msgToken)
		return nil
	}
	c.i++
	c.peek()
	if escaped {
		return unescape(make([]byte, 0, end-start), c.b[start+1:end-1])
	}
	return c.b[start+1 : end-1]
}

// value skips the value at the cursor and returns where it stands.
func (c *cursor) value() Span {
	start := c.i
	c.skip()
	return Span{start, c.i}
}

// end checks that nothing but white space is left.
func (c *cursor) end() {
	if c.bad == nil {
		if c.peek(); c.i < len(c.b) {
			c.fail(ParseError, c.i, msgTrailing)
		}
	}
}

// skip checks the value at the cursor, however deep it nests, and stops behind
// it.
func (c *cursor) skip() {
	if c.bad != nil {
		return
	}
	if c.i < len(c.b) {
		if ch := c.b[c.i]; ch == '{' || ch == '[' {
			c.skipContainer()
			return
		}
	}
	c.scalar()
}

// scalar checks a string, a number or a literal.
func (c *cursor) scalar() {
	if c.i == len(c.b) {
		c.fail(ParseError, c.i, msgEnd)
		return
	}
	var ok bool
	switch ch := c.b[c.i]; {
	case ch == '"':
		if c.i, _, ok = stringEnd(c.b, c.i+1); !ok {
			c.fail(ParseError, c.i, msgString)
		}
	case startsNumber(ch):
		if c.i, _, ok = numberEnd(c.b, c.i); !ok {
			c.fail(ParseError, c.i, msgNumber)
		}
	case ch == 't' || ch == 'f' || ch == 'n':
		if c.i, ok = literalEnd(c.b, c.i); !ok {
			c.fail(ParseError, c.i, msgLiteral)
		}
	default:
		c.fail(ParseError, c.i, msgToken)
	}
}

// skipContainer checks the array or object at the cursor without recursion.
func (c *cursor) skipContainer() {
	var stack nesting
	base := c.depth
	for {
		// At a value.
		c.peek()
		if c.i < len(c.b) && (c.b[c.i] == '{' || c.b[c.i] == '[') {
			object := c.b[c.i] == '{'
			end := closing(object)
			stack.set(c.depth, object)
			if c.open(end) {
				if object {
					c.name()
				}
				continue
			}
		} else {
			c.scalar()
		}
		// Behind a value: up to the next one, out of what ends here.
		for c.depth > base {
			object := stack.object(c.depth - 1)
			if c.more(closing(object)) {
				if object {
					c.name()
				}
				break
			}
			if c.bad != nil {
				return
			}
		}
		if c.bad != nil || c.depth == base {
			return
		}
	}
}

// name checks a member's name and its colon, for objects nobody looks into.
func (c *cursor) name() {
	if c.i == len(c.b) || c.b[c.i] != '"' {
		c.fail(ParseError, c.i, msgToken)
		return
	}
	end, _, ok := stringEnd(c.b, c.i+1)
	if !ok {
		c.fail(ParseError, end, msgString)
		return
	}
	c.i = end
	if c.peek() != ':' {
		c.fail(ParseError, c.i, msgToken)
		return
	}
	c.i++
}

func closing(object bool) byte {
	if object {
		return '}'
	}
	return ']'
}
