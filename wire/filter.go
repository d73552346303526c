package wire

import "fmt"

// filter is the push parser behind [AnswerRewriter]: a JSON automaton that can
// stop between any two bytes, and that replaces and inserts as it goes. It
// keeps one bit per level of nesting and the name of the member being read, so
// its memory does not depend on the document.
type filter struct {
	o     RewriteOptions
	state state
	depth int
	stack nesting

	word   string // what is left of a literal
	hex    int    // hex digits left of a \u escape
	isKey  bool   // the string being read is a member's name
	track  bool   // and one that may matter
	key    []byte // it, as far as it can matter
	maxKey int    // longer names are none of ours
	offset int    // of the chunk in the document

	role     uint32 // the top-level member whose value comes next
	seen     uint32
	inResult bool
	have     uint64
	isError  bool // there is an error that is not null

	// The chunk being fed.
	p       []byte
	out     []byte // what it became, as far as last
	last    int    // first byte of p that is not in out yet
	changed bool   // p and out differ
	mute    bool   // the old id is passing
	leaps   int    // how many more may fail
	err     error
}

// maxLeaps is how many values of a chunk may be scanned in vain.
const maxLeaps = 4

type state uint8

const (
	atValue    state = iota
	atFirstKey       // a name or the end of an object
	atKey
	atColon
	atFirstElem // a value or the end of an array
	afterValue
	inString
	inEscape
	inHex
	inLiteral
	numSign // states of a number, named after what was read last
	numZero
	numInt
	numDot
	numFrac
	numE
	numESign
	numExp
	atEnd // the document is complete
)

func newFilter(o RewriteOptions) filter {
	f := filter{o: o, maxKey: 6 * len("result")} // \u0072\u0065…
	for _, kv := range o.Members {
		f.maxKey = max(f.maxKey, 6*len(kv.Key))
	}
	return f
}

// feed takes the next chunk and returns what goes on in its place: a part of p
// when nothing changed, else out with what p became appended. After an error it
// returns what came before the fault.
func (f *filter) feed(p, out []byte) (_ []byte, changed bool, err error) {
	f.p, f.out, f.last, f.changed, f.leaps = p, out, 0, f.mute, maxLeaps
	end := f.walk()
	f.offset += len(p)
	f.p = nil
	if !f.changed {
		return p[:end], false, f.err
	}
	if !f.mute {
		f.out = append(f.out, p[f.last:end]...)
	}
	out, f.out = f.out, nil
	return out, true, f.err
}

// walk runs the automaton over the chunk and returns where it stopped: at the
// end or at a fault.
func (f *filter) walk() int {
	p := f.p
	for i := 0; i < len(p); {
		switch f.state {
		case inString:
			end := plainEnd(p, i)
			f.keep(p[i:end])
			if i = end; i == len(p) {
				return i
			}
			if p[i] < ' ' {
				return f.fail(i, msgString)
			}
			if p[i] == '"' {
				i++
				f.stringDone(i)
				break
			}
			if i+1 < len(p) && !f.track && isShortEscape(p[i+1]) {
				i += 2 // the common case: \n, \" and the like in a text
				break
			}
			f.keep(p[i : i+1])
			i++
			f.state = inEscape
		case inEscape, inHex, inLiteral:
			if !f.strict(p[i], i+1) {
				return f.fail(i, msgString)
			}
			i++
		case numSign, numZero, numInt, numDot, numFrac, numE, numESign, numExp:
			var ok bool
			if i, ok = f.number(p, i); !ok {
				return f.fail(i, msgNumber)
			}
		default:
			c := p[i]
			if end := f.leap(c, i); end > 0 {
				i = end
				break
			}
			if !isSpace(c) && !f.structure(c, i) {
				return f.fail(i, msgToken)
			}
			i++
		}
		if f.err != nil {
			return i
		}
	}
	return len(p)
}

// leap passes the value at p[i], and those that follow it side by side, where
// nobody looks into them, in a tighter loop than walk's. It returns the index
// after the last one, 0 when there is no such value or it does not end within
// the chunk; walk takes it then, and reports what is wrong with it. Strings are
// left to walk, which is as fast.
func (f *filter) leap(c byte, i int) (end int) {
	if f.depth < 2 || f.leaps == 0 || f.state != atValue && f.state != atFirstElem {
		return 0
	}
	if c == '"' || c == ']' || isSpace(c) {
		return 0
	}
	object := f.stack.object(f.depth)
	skipper := cursor{b: f.p, i: i, depth: f.depth}
	for {
		if skipper.skip(); skipper.bad != nil || skipper.i == len(f.p) {
			break
		}
		end = skipper.i
		if skipper.peek() != ',' || object && f.depth == 2 {
			break
		}
		skipper.i++
		if skipper.peek(); object {
			skipper.name()
			skipper.peek()
		}
	}
	if end == 0 {
		f.leaps--
		return 0
	}
	f.state = afterValue
	return end
}

// fail records a fault at p[i] and returns i.
func (f *filter) fail(i int, msg string) int {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s at offset %d", ErrInvalid, msg, f.offset+i)
	}
	return i
}

// keep stores bytes of a name that may matter.
func (f *filter) keep(part []byte) {
	if f.track && len(f.key) <= f.maxKey {
		f.key = append(f.key, part[:min(len(part), f.maxKey+1-len(f.key))]...)
	}
}

// strict takes a byte where only few are possible: in an escape or a literal.
// next is the index after it.
func (f *filter) strict(c byte, next int) bool {
	switch f.state {
	case inEscape:
		f.keep([]byte{c})
		f.state = inString
		if c == 'u' {
			f.state, f.hex = inHex, 4
			return true
		}
		return isShortEscape(c)
	case inHex:
		f.keep([]byte{c})
		if f.hex--; f.hex == 0 {
			f.state = inString
		}
		return isHex(c)
	default:
		if c != f.word[0] {
			return false
		}
		if f.word = f.word[1:]; f.word == "" {
			f.valueDone(next)
		}
		return true
	}
}

// number takes bytes of a number as far as it goes and returns the index after
// them; a byte that cannot follow ends the number if it may end there.
func (f *filter) number(p []byte, i int) (int, bool) {
	for ; i < len(p); i++ {
		next := numberStep(f.state, p[i])
		if next == atEnd {
			switch f.state {
			case numZero, numInt, numFrac, numExp:
				f.valueDone(i)
				return i, true
			}
			return i, false
		}
		f.state = next
	}
	return i, true
}

// numberStep returns the state after c, atEnd when c cannot follow.
func numberStep(s state, c byte) state {
	switch {
	case isDigit(c):
		return digitStep(s, c)
	case c == '.' && (s == numZero || s == numInt):
		return numDot
	case c|0x20 == 'e' && (s == numZero || s == numInt || s == numFrac):
		return numE
	case (c == '+' || c == '-') && s == numE:
		return numESign
	}
	return atEnd
}

func digitStep(s state, c byte) state {
	switch {
	case s == numSign && c == '0':
		return numZero
	case s == numSign || s == numInt:
		return numInt
	case s == numDot || s == numFrac:
		return numFrac
	case s == numZero:
		return atEnd // no leading zeros
	}
	return numExp
}
