package config

import (
	"fmt"
	"strings"
)

// mark is a place in the text; both count from 1, columns in characters.
type mark struct{ line, col int }

type kind uint8

const (
	scalar kind = iota
	mapping
	list
)

// node is one value of the document. YAML and JSON both become this tree, with
// aliases and merge keys already resolved, so nothing after it knows the syntax.
type node struct {
	mark
	kind    kind
	tag     string // of a scalar: str, int, float, bool, null or timestamp
	text    string // of a scalar, as written, without its quotes
	members []member
	items   []*node
	// broken marks a value whose problem is reported already.
	broken bool
}

// member is one key of a mapping with its value.
type member struct {
	mark  // of the key
	key   string
	value *node
}

// get returns the member of that key, nil when there is none.
func (n *node) get(key string) *member {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i]
		}
	}
	return nil
}

// what names the kind of a value in words, for "expected a list, got …".
func (n *node) what() string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case list:
		return "a list"
	}
	switch n.tag {
	case "int", "float":
		return "a number"
	case "bool":
		return "true or false"
	case "null":
		return "nothing"
	}
	return "a text"
}

// limits of a tree. They are far above any real configuration and low enough
// that a hostile document costs little.
const (
	maxDocument = 4 << 20
	maxNodes    = 50_000
	maxDepth    = 64
)

// join appends a key to a path, in brackets when it would not read as one word.
func join(path, key string) string {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && r != '$' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	switch {
	case !plain:
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}

// index appends a position in a list to a path.
func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent removes the last step of a path.
func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		// A quoted key may itself hold dots and brackets: find its own opening.
		if i := strings.LastIndex(path, `["`); i >= 0 {
			return path[:i]
		}
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
