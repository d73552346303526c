package wire

import "sync"

// Sizes of the buffers that bytes pass through. Each is eight times the one
// before: few steps, as each one copies what is there.
const (
	growth    = 8
	smallSize = 4 << 10            // a stream that waits
	chunkSize = smallSize * growth // a stream that flows, a document
	largeSize = chunkSize * growth // an event that is large
	hugeSize  = largeSize * growth
)

var smallPool, chunkPool, largePool, hugePool sync.Pool

// grab returns a buffer of a size, which may hold old bytes. Buffers larger than
// hugeSize, and of any other size, are not kept.
func grab(size int) []byte {
	switch size {
	case smallSize:
		if b, ok := smallPool.Get().(*[smallSize]byte); ok {
			return b[:]
		}
	case chunkSize:
		if b, ok := chunkPool.Get().(*[chunkSize]byte); ok {
			return b[:]
		}
	case largeSize:
		if b, ok := largePool.Get().(*[largeSize]byte); ok {
			return b[:]
		}
	case hugeSize:
		if b, ok := hugePool.Get().(*[hugeSize]byte); ok {
			return b[:]
		}
	}
	return make([]byte, size)
}

// giveBack returns a buffer, whatever part of it b shows.
func giveBack(b []byte) {
	switch b = b[:cap(b)]; len(b) {
	case smallSize:
		smallPool.Put((*[smallSize]byte)(b))
	case chunkSize:
		chunkPool.Put((*[chunkSize]byte)(b))
	case largeSize:
		largePool.Put((*[largeSize]byte)(b))
	case hugeSize:
		hugePool.Put((*[hugeSize]byte)(b))
	}
}
