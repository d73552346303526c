package wire

import "slices"

// Edit replaces the bytes of a span by New. An empty span (Start == End)
// inserts before the byte at Start; a nil New removes.
type Edit struct {
	Span
	New []byte
}

// KV is a member of an object: its name and its value as raw JSON.
type KV struct {
	Key   string
	Value []byte
}

// Splice appends b with the edits applied to dst. Edits may come in any order
// and are sorted in place; of edits at one place the insertions come first, in
// the order given. Edits that overlap are a mistake in the calling code:
// Splice panics.
//
// dst must not share memory with b. With room in dst it allocates nothing.
func Splice(dst, b []byte, edits ...Edit) []byte {
	if !slices.IsSortedFunc(edits, compareEdits) {
		slices.SortStableFunc(edits, compareEdits)
	}
	size := len(b)
	for _, e := range edits {
		size += len(e.New) - (e.End - e.Start)
	}
	dst = slices.Grow(dst, size)
	done := 0
	for _, e := range edits {
		if e.Start < done || e.End < e.Start {
			panic("wire: edits overlap")
		}
		dst = append(append(dst, b[done:e.Start]...), e.New...)
		done = e.End
	}
	return append(dst, b[done:]...)
}

func compareEdits(a, b Edit) int {
	if a.Start != b.Start {
		return a.Start - b.Start
	}
	return a.End - b.End
}
