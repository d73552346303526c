//go:build !race

package guard_test

// raced says that the race detector is on.
const raced = false
