package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ what, raw, want string }{
		{"white space", " { \"a\" : [ 1 ,\t2 ] ,\n\"b\" : { } } ", `{"a":[1,2],"b":{}}`},
		{"order", `{"b":1,"a":{"d":[{"y":1,"x":2}],"c":3}}`, `{"a":{"c":3,"d":[{"x":2,"y":1}]},"b":1}`},
		{"order of arrays is meaning", `["b","a"]`, `["b","a"]`},
		{"a name that begins like another", `{"a b":1,"a":2,"a!":3}`, `{"a":2,"a b":1,"a!":3}`},
		{"numbers as written", `{"n":1.0,"m":1e2,"k":12345678901234567890}`, `{"k":12345678901234567890,"m":1e2,"n":1.0}`},
		{"strings as written", `{"é":"\u00e9/\/","e":" , "}`, `{"e":" , ","é":"\u00e9/\/"}`},
		{"a name twice", `{"b":0,"a":1,"a":2}`, `{"a":1,"a":2,"b":0}`},
		{"a name twice the other way round", `{"b":0,"a":2,"a":1}`, `{"a":2,"a":1,"b":0}`},
		{"no object", ` true `, `true`},
		{"no JSON", `{"b":1,"a"`, `{"b":1,"a"`},
		{"two values", `{"b":1,"a":2} 7`, `{"b":1,"a":2} 7`},
		{"nothing", ``, ``},
	} {
		if got := string(Canonical([]byte("x"), []byte(c.raw))); got != "x"+c.want {
			t.Errorf("%s: %s, want x%s", c.what, got, c.want)
		}
	}
}

// What lies too deep keeps its order, however deep that is.
func TestCanonicalOfDeepNesting(t *testing.T) {
	for _, n := range []int{canonicalDepth, maxDepth - 1, maxDepth + 1} {
		raw := strings.Repeat(`{"b":0,"a":`, n) + `{"z":0, "y":1}` + strings.Repeat("}", n)
		got := string(Canonical(nil, []byte(raw)))
		want := strings.Repeat(`{"a":`, canonicalDepth) + strings.Repeat(`{"b":0,"a":`, n-canonicalDepth) +
			`{"z":0, "y":1}` + strings.Repeat("}", n-canonicalDepth) + strings.Repeat(`,"b":0}`, canonicalDepth)
		if n > maxDepth {
			want = raw // no document that anything here reads
		}
		if got != want {
			t.Errorf("%d levels: %s", n, got)
		}
	}
}

// The form says what the document says, whatever order it was written in, and
// is a form of itself.
func FuzzCanonical(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) }, ".json")
	f.Add([]byte(`{"b":[{"y":1,"x":"\ud83d"}], "a":{"b":1,"b":2},"a":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := Canonical(nil, doc)
		if !bytes.Equal(Canonical(nil, got), got) {
			t.Fatalf("%q becomes %q and then %q", doc, got, Canonical(nil, got))
		}
		if !utf8.Valid(doc) || depthOf(doc) > maxDepth || !json.Valid(doc) {
			return
		}
		var before, after any
		if json.Unmarshal(doc, &before) != nil {
			return // a number out of range
		}
		if err := json.Unmarshal(got, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q: %v", doc, got, err)
		}
		if len(got) > len(doc) {
			t.Fatalf("%q grew to %q", doc, got)
		}
	})
}
