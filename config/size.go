package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as 512, 64KiB, 8MiB or 1GiB; KB, MB and GB
// count in thousands.
type Size int64

// Longer suffixes first: every unit ends in B.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
}

// ParseSize reads a size. It accepts a fraction, as in 1.5MiB, and a space
// before the unit. A negative or too large number is an error.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if strings.Trim(number, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, strconv.ErrSyntax
	}
	return Size(f * float64(unit)), nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range []int{2, 1, 0} {
		if n := sizeUnits[u].bytes; int64(s) >= n && int64(s)%n == 0 {
			return fmt.Sprintf("%d%s", int64(s)/n, sizeUnits[u].suffix)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
