package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readTree turns the text of a document into a tree. An empty text is an empty
// mapping. The result is nil after a problem.
func readTree(data []byte, c *collector) *node {
	if len(data) > maxDocument {
		c.add(mark{}, "", fmt.Sprintf("the document is larger than %s", Size(maxDocument)), "split off what does not belong in it")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if bytes.HasPrefix(trimmed, []byte("{")) && (looksLikeJSON(trimmed) || strings.HasSuffix(c.file, ".json")) {
		return readJSON(plainJSON(data), c)
	}
	return readYAML(data, c)
}

// looksLikeJSON tells JSON from a YAML flow mapping: a key in double quotes, the
// end of the object or a comment of JSON's kind comes first. YAML's comments make
// it YAML.
func looksLikeJSON(data []byte) bool {
	rest := bytes.TrimLeft(data[1:], " \t\r\n")
	for _, first := range []string{`"`, "}", "//", "/*"} {
		if bytes.HasPrefix(rest, []byte(first)) {
			return !yamlComment.Match(data)
		}
	}
	return false
}

var yamlComment = regexp.MustCompile(`(?m)^[ \t]*#`)

// yamlLine finds the line in the text of a YAML syntax error: the library has no
// type for it. The line is shown; nothing is decided by it.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlParser recognizes the errors of the library's parser, which counts lines
// from 0, where its scanner counts from 1.
var yamlParser = regexp.MustCompile(`^did not find expected (?:<|node content|key|'-'|',')`)

func readYAML(data []byte, c *collector) (n *node) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &node{mark: mark{1, 1}, kind: mapping}
	case err != nil:
		text := err.Error()
		m := yamlLine.FindStringSubmatch(text)
		at := mark{1, 1}
		if m != nil {
			text = text[len(m[0]):]
			if line, err := strconv.Atoi(m[1]); err == nil {
				at.line = line
				if yamlParser.MatchString(text) {
					at.line++
				}
			}
		}
		c.add(at, "", "is not YAML: "+text, "")
		return nil
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		at := mark{1, 1}
		if len(second.Content) > 0 {
			at = mark{second.Content[0].Line, second.Content[0].Column}
		}
		c.add(at, "", "a second document begins here", "keep one document in the file")
		return nil
	}
	r := &yamlReader{c: c, open: map[*yaml.Node]bool{}}
	defer func() {
		if r.tooLarge {
			n = nil
		}
	}()
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		return &node{mark: mark{1, 1}, kind: mapping}
	}
	return r.value(doc.Content[0], "", 0)
}

// yamlReader copies the parser's tree into ours and resolves aliases and merge
// keys on the way. open holds the anchors being copied: a value may not hold
// itself. count stops a document whose aliases multiply.
type yamlReader struct {
	c        *collector
	open     map[*yaml.Node]bool
	count    int
	tooLarge bool
}

func (r *yamlReader) value(y *yaml.Node, path string, depth int) *node {
	n := &node{mark: mark{y.Line, y.Column}, tag: "null", text: ""}
	if r.count++; r.count > maxNodes || depth > maxDepth {
		if !r.tooLarge {
			r.c.add(n.mark, "", "the document is too large or too deep", "")
		}
		r.tooLarge, n.broken = true, true
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil || r.open[y.Alias] {
			r.c.add(n.mark, path, "is an alias of a value that holds it", "write the value out")
			n.broken = true
			return n
		}
		r.open[y.Alias] = true
		defer delete(r.open, y.Alias)
		return r.value(y.Alias, path, depth+1)
	case yaml.SequenceNode:
		n.kind = list
		for i, item := range y.Content {
			n.items = append(n.items, r.value(item, index(path, i), depth+1))
		}
	case yaml.MappingNode:
		n.kind = mapping
		if !r.open[y] {
			r.open[y] = true
			defer delete(r.open, y)
		}
		r.mapping(n, y, path, depth)
	default:
		n.tag, n.text = strings.TrimPrefix(y.ShortTag(), "!!"), y.Value
		if strings.HasPrefix(n.tag, "!") || n.tag == "binary" || n.tag == "merge" {
			if n.tag != "merge" {
				r.c.add(n.mark, path, "has a tag that has no meaning here", "remove the tag")
			}
			n.tag = "str"
		}
	}
	return n
}

func (r *yamlReader) mapping(n *node, y *yaml.Node, path string, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		at := mark{k.Line, k.Column}
		for hops := 0; k.Kind == yaml.AliasNode && k.Alias != nil && hops < maxDepth; hops++ {
			k = k.Alias
		}
		switch {
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			r.c.add(at, path, "has a key that is not a text", "write the key as a text")
		case k.ShortTag() == "!!merge":
			merges = append(merges, v)
		default:
			addMember(n, member{at, k.Value, r.value(v, join(path, k.Value), depth+1)}, path, r.c)
		}
	}
	for _, m := range merges {
		r.merge(n, m, path, depth+1)
	}
}

// merge adds the members of a merge key (<<) that the mapping has not itself.
func (r *yamlReader) merge(n *node, y *yaml.Node, path string, depth int) {
	from := r.value(y, path, depth)
	sources := []*node{from}
	if from.kind == list {
		sources = from.items
	}
	for _, s := range sources {
		if s.broken {
			continue
		}
		if s.kind != mapping {
			r.c.add(mark{y.Line, y.Column}, path, "merges something that is not a mapping", "merge an alias of a mapping")
			continue
		}
		for _, m := range s.members {
			if n.get(m.key) == nil {
				n.members = append(n.members, m)
			}
		}
	}
}

// addMember adds a key to a mapping and reports one that is there already.
func addMember(n *node, m member, path string, c *collector) {
	if first := n.get(m.key); first != nil {
		c.add(m.mark, join(path, m.key), fmt.Sprintf("is given twice, first at line %d", first.line), "remove one of them")
		return
	}
	n.members = append(n.members, m)
}
