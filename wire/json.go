package wire

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth bounds how deep arrays and objects may nest. What follows a value is
// kept as one bit a level, so depth costs no recursion.
const maxDepth = 1000

// nesting is a stack of open containers: a set bit is an object.
type nesting [(maxDepth + 63) / 64]uint64

func (n *nesting) set(depth int, object bool) {
	if object {
		n[depth>>6] |= 1 << (depth & 63)
	} else {
		n[depth>>6] &^= 1 << (depth & 63)
	}
}

func (n *nesting) object(depth int) bool { return n[depth>>6]>>(depth&63)&1 != 0 }

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// stops marks, in the top bit of each byte of x, the quotes, the backslashes
// and the control characters. Turning bit 1 over makes the quote the neighbour
// of the control characters, so that one comparison finds both. Only the lowest
// mark is exact: a borrow can make the bytes above it look marked too.
func stops(x uint64) uint64 {
	return (((x ^ 2*ones) - '!'*ones) | ((x ^ '\\'*ones) - ones)) &^ x & highs
}

// plainEnd returns the index of the first byte at or after i that ends or
// interrupts the plain text of a string: a quote, a backslash or a control
// character; len(b) when there is none. It reads words, one at a time where most
// strings end, then as much as the processor takes, as long strings are most of
// what passes through.
func plainEnd(b []byte, i int) int {
	for near := min(i+88, len(b)-8); i <= near; i += 8 {
		if m := stops(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	i = plainBlocks(b, i)
	for ; i+32 <= len(b); i += 32 {
		w := b[i : i+32 : i+32]
		if stops(binary.LittleEndian.Uint64(w))|stops(binary.LittleEndian.Uint64(w[8:]))|
			stops(binary.LittleEndian.Uint64(w[16:]))|stops(binary.LittleEndian.Uint64(w[24:])) != 0 {
			break
		}
	}
	for ; i+8 <= len(b); i += 8 {
		if m := stops(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// stringEnd returns the index after the closing quote of the string whose text
// begins at i, and whether the text has escapes. When ok is false, end is the
// offset of the fault, len(b) if the string does not end.
func stringEnd(b []byte, i int) (end int, escaped, ok bool) {
	for {
		i = plainEnd(b, i)
		if i == len(b) {
			return i, escaped, false
		}
		switch b[i] {
		case '"':
			return i + 1, escaped, true
		case '\\':
			escaped = true
			if i, ok = escapeEnd(b, i+1); !ok {
				return i, escaped, false
			}
		default:
			return i, escaped, false
		}
	}
}

// escapeEnd returns the index after the escape whose backslash stands before i.
func escapeEnd(b []byte, i int) (end int, ok bool) {
	if i == len(b) {
		return i, false
	}
	if b[i] != 'u' {
		if !isShortEscape(b[i]) {
			return i, false
		}
		return i + 1, true
	}
	for n := 1; n <= 4; n++ {
		if i+n == len(b) || !isHex(b[i+n]) {
			return i + n, false
		}
	}
	return i + 5, true
}

// isShortEscape reports whether c makes an escape with the backslash before it.
func isShortEscape(c byte) bool {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	}
	return false
}

func isHex(c byte) bool {
	return c-'0' < 10 || c|0x20-'a' < 6
}

func isDigit(c byte) bool { return c-'0' < 10 }

// startsNumber reports whether c begins a number.
func startsNumber(c byte) bool { return c == '-' || isDigit(c) }

// isSpace reports whether c is white space between tokens.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// numberEnd returns the index after the number at i, and whether it is written
// as an integer, without fraction and exponent. When ok is false, end is the
// offset of the fault.
func numberEnd(b []byte, i int) (end int, integer, ok bool) {
	if b[i] == '-' {
		i++
	}
	switch {
	case i == len(b) || !isDigit(b[i]):
		return i, false, false
	case b[i] == '0':
		i++
	default:
		i = digitsEnd(b, i)
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		start := i + 1
		if i = digitsEnd(b, start); i == start {
			return i, false, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		start := i + 1
		if start < len(b) && (b[start] == '+' || b[start] == '-') {
			start++
		}
		if i = digitsEnd(b, start); i == start {
			return i, false, false
		}
	}
	return i, integer, true
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// literalEnd returns the index after true, false or null at i; when ok is
// false, the offset of the fault.
func literalEnd(b []byte, i int) (end int, ok bool) {
	word := literal(b[i])
	for n := range len(word) {
		if i+n == len(b) || b[i+n] != word[n] {
			return i + n, false
		}
	}
	return i + len(word), true
}

// literal returns the literal that begins with c.
func literal(c byte) string {
	switch c {
	case 't':
		return "true"
	case 'f':
		return "false"
	default:
		return "null"
	}
}
