package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// jsonReader turns a JSON text into a tree. YAML would read most JSON as well,
// but not surrogate pairs in escapes, and its messages confuse a JSON author.
type jsonReader struct {
	data  []byte
	dec   *json.Decoder
	c     *collector
	count int

	pos  int // up to where line and col were counted
	line int
	col  int
}

// readJSON reads the one value of a JSON text. nil after a problem.
func readJSON(data []byte, c *collector) *node {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), c: c, line: 1, col: 1}
	r.dec.UseNumber()
	n, err := r.value("", 0)
	if err == nil {
		if _, err = r.dec.Token(); errors.Is(err, io.EOF) {
			return n
		}
	}
	at := r.place(int(r.dec.InputOffset()))
	var s *json.SyntaxError
	var p *limitError
	switch {
	case errors.As(err, &p):
		c.add(p.at, "", p.message, "")
	case errors.As(err, &s):
		c.add(r.place(max(0, int(s.Offset)-1)), "", "is not JSON: "+s.Error(), "")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.add(r.place(len(data)), "", "is not JSON: the text ends too early", "")
	default:
		c.add(at, "", "is not JSON: there is more text after its end", "")
	}
	return nil
}

// limitError is a document that is larger or deeper than we read.
type limitError struct {
	at      mark
	message string
}

func (e *limitError) Error() string { return e.message }

// next returns the coming token and where it starts.
func (r *jsonReader) next() (json.Token, mark, error) {
	start := int(r.dec.InputOffset())
	for start < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[start]) >= 0 {
		start++
	}
	at := r.place(start)
	t, err := r.dec.Token()
	return t, at, err
}

func (r *jsonReader) value(path string, depth int) (*node, error) {
	t, at, err := r.next()
	if err != nil {
		return nil, err
	}
	if r.count++; r.count > maxNodes || depth > maxDepth {
		return nil, &limitError{at, "the document is too large or too deep"}
	}
	n := &node{mark: at}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return n, r.list(n, path, depth)
		}
		return n, r.mapping(n, path, depth)
	case string:
		n.tag, n.text = "str", t
	case json.Number:
		n.tag, n.text = "int", t.String()
		if bytes.ContainsAny([]byte(t), ".eE") {
			n.tag = "float"
		}
	case bool:
		n.tag, n.text = "bool", map[bool]string{true: "true", false: "false"}[t]
	default:
		n.tag, n.text = "null", "null"
	}
	return n, nil
}

func (r *jsonReader) list(n *node, path string, depth int) error {
	n.kind = list
	for r.dec.More() {
		item, err := r.value(index(path, len(n.items)), depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) mapping(n *node, path string, depth int) error {
	n.kind = mapping
	for r.dec.More() {
		t, at, err := r.next()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		v, err := r.value(join(path, key), depth+1)
		if err != nil {
			return err
		}
		addMember(n, member{at, key, v}, path, r.c)
	}
	_, err := r.dec.Token()
	return err
}

// place converts an offset to line and column; offsets come in rising order but
// for the one of a final error.
func (r *jsonReader) place(offset int) mark {
	if offset < r.pos {
		r.pos, r.line, r.col = 0, 1, 1
	}
	for r.pos < offset && r.pos < len(r.data) {
		c, size := utf8.DecodeRune(r.data[r.pos:])
		r.pos += size
		r.col++
		if c == '\n' {
			r.line, r.col = r.line+1, 1
		}
	}
	return mark{r.line, r.col}
}

// plainJSON takes out what clients allow in their files beyond JSON: comments,
// and commas before a closing bracket. Every character keeps its place.
func plainJSON(data []byte) []byte {
	out := make([]byte, 0, len(data))
	comma := -1 // of a comma in out that nothing has followed yet
	for i := 0; i < len(data); {
		n, blank := jsonLexeme(data[i:])
		text := data[i : i+n]
		i += n
		switch {
		case blank:
			for _, r := range string(text) {
				if r == '\n' || r == '\r' || r == '\t' {
					out = append(out, byte(r))
				} else {
					out = append(out, ' ')
				}
			}
			continue
		case text[0] == ',':
			comma = len(out)
		case (text[0] == '}' || text[0] == ']') && comma >= 0:
			out[comma] = ' '
			fallthrough
		default:
			comma = -1
		}
		out = append(out, text...)
	}
	return out
}

// jsonLexeme measures what comes next: a string, a comment, white space, or one
// byte of anything else. blank is true for what JSON would not miss.
func jsonLexeme(b []byte) (n int, blank bool) {
	switch {
	case b[0] == '"':
		for n = 1; n < len(b) && b[n] != '"' && b[n] != '\n'; n++ {
			if b[n] == '\\' {
				n++
			}
		}
		return min(n+1, len(b)), false
	case bytes.HasPrefix(b, []byte("//")):
		if n = bytes.IndexByte(b, '\n'); n < 0 {
			n = len(b)
		}
		return n, true
	case bytes.HasPrefix(b, []byte("/*")):
		if n = bytes.Index(b[2:], []byte("*/")); n < 0 {
			return 1, false // the parser will complain
		}
		return n + 4, true
	}
	return 1, bytes.IndexByte([]byte(" \t\r\n"), b[0]) >= 0
}
