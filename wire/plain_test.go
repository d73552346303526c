package wire

import (
	"bytes"
	"testing"
)

// Long strings are read in blocks that depend on the processor. Whatever stands
// in one, wherever in a block and in memory, ends the plain text.
func TestPlainTextEndsAtTheFirstByteThatMatters(t *testing.T) {
	room := bytes.Repeat([]byte{'"'}, 600) // what a read beyond the end would meet
	for c := range 256 {
		matters := c < ' ' || c == '"' || c == '\\'
		for _, filler := range []byte{' ', '!', '#', '[', ']', 'x', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
			for _, start := range []int{0, 3, 16} {
				text := room[start : start+400]
				for i := range text {
					text[i] = filler
				}
				if got := plainEnd(text, 0); got != len(text) {
					t.Fatalf("text of %q: ends at %d", filler, got)
				}
				for _, at := range []int{0, 7, 31, 87, 88, 95, 96, 100, 127, 151, 152, 159, 160, 191, 300, 352, 398, 399} {
					text[at] = byte(c)
					want := len(text)
					if matters {
						want = at
					}
					if got := plainEnd(text, 0); got != want {
						t.Fatalf("%q at %d among %q: ends at %d, want %d", byte(c), at, filler, got, want)
					}
					if got := plainEnd(text, at+1); got != len(text) {
						t.Fatalf("behind %d: ends at %d", at, got)
					}
					text[at] = filler
				}
				for i := range text {
					text[i] = '"'
				}
			}
		}
	}
	for n := range 400 {
		if got := plainEnd(bytes.Repeat([]byte("é"), n)[:n], 0); got != n {
			t.Fatalf("text of %d bytes: ends at %d", n, got)
		}
	}
}
