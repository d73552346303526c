//go:build !purego

package wire

// plainBlocks passes plain text of a string in blocks of 64 bytes, from i on: it
// returns where the first block begins that holds something else, or where there
// is no block left.
//
//go:noescape
func plainBlocks(b []byte, i int) int
