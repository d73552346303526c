package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggestion is the fix for a word that is not among those allowed: the one that
// was probably meant, else all of them.
func suggestion(word string, allowed []string) string {
	best, least := "", 0
	for _, a := range allowed {
		d := distance(strings.ToLower(word), strings.ToLower(a))
		if d <= max(len(word), len(a))/3 && (best == "" || d < least) {
			best, least = a, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(allowed) == 0 {
		return "remove it"
	}
	return "use " + oneOf(allowed)
}

// oneOf lists words for a sentence: a, b or c.
func oneOf(words []string) string {
	words = slices.Clone(words)
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// distance counts the letters to add, drop, replace or swap with their neighbour
// to get from a to b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}
