package wire

import (
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// Quote appends s to dst as a JSON string. It escapes what JSON requires and
// nothing else; bytes that are not UTF-8 become U+FFFD.
func Quote(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// Unquote returns the text of the JSON string raw, which includes its quotes.
// As other readers do, it turns lone surrogates and bytes that are not UTF-8
// into U+FFFD. ok is false when raw is not one complete JSON string.
func Unquote(raw []byte) (s string, ok bool) {
	text, ok := UnquoteBytes(nil, raw)
	return string(text), ok
}

// UnquoteBytes is [Unquote] without the copy: the text is a part of raw when
// nothing in it needs decoding, else it is appended to dst[:0].
func UnquoteBytes(dst, raw []byte) (text []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	end, escaped, ok := stringEnd(raw, 1)
	if !ok || end != len(raw) {
		return nil, false
	}
	text = raw[1 : end-1]
	if !escaped && utf8.Valid(text) {
		return text, true
	}
	return unescape(dst[:0], text), true
}

// unescape appends the text of a string whose escapes are known to be sound.
func unescape(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\\' && text[i+1] == 'u':
			var r rune
			r, i = unescapeRune(text, i)
			dst = utf8.AppendRune(dst, r)
		case c == '\\':
			dst = append(dst, unescapeByte(text[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRune(text[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

// unescapeRune decodes the \u escape at i, with the one behind it when both are
// a surrogate pair, and returns where to go on.
func unescapeRune(text []byte, i int) (r rune, next int) {
	r = hexRune(text[i+2:])
	next = i + 6
	if !utf16.IsSurrogate(r) {
		return r, next
	}
	if next+6 <= len(text) && text[next] == '\\' && text[next+1] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(text[next+2:])); pair != utf8.RuneError {
			return pair, next + 6
		}
	}
	return utf8.RuneError, next
}

func hexRune(b []byte) (r rune) {
	for _, c := range b[:4] {
		if isDigit(c) {
			c -= '0'
		} else {
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
