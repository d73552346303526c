package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParamHeader says that a call to a tool mirrors one of its arguments into a
// header (streamable-http, "Custom Headers from Tool Parameters").
type ParamHeader struct {
	Name string   // of the header, with the prefix: Mcp-Param-Region
	Path []string // names of nested properties, from the arguments down
}

// HeaderValue is a header of one call.
type HeaderValue struct {
	Name  string
	Value string // encoded

	number bool // the argument is one, so other spellings of it are equal
}

// ErrParamHeader is the error of a tool whose x-mcp-header annotations break
// the rules. Such a tool must not be listed to clients.
var ErrParamHeader = errors.New("invalid x-mcp-header")

const annotation = "x-mcp-header"

// ParamHeaders reads the x-mcp-header annotations of a tool's inputSchema, in
// the order in which they stand there; nil when there are none. The error wraps
// ErrParamHeader when one of them is no header token, is given twice, is on a
// property that is not a string, integer or boolean (or one of these or null),
// or stands where a chain of properties from the root does not lead. A schema
// that is not an object has no annotations.
func ParamHeaders(inputSchema []byte) ([]ParamHeader, error) {
	w := schemaWalk{names: map[string]bool{}}
	if err := w.schema(inputSchema, nil, true, 0); err != nil {
		return nil, err
	}
	return w.found, nil
}

// maxSchemaDepth bounds how deep subschemas are walked.
const maxSchemaDepth = 100

// schemaWalk visits a schema and its subschemas.
type schemaWalk struct {
	found []ParamHeader
	names map[string]bool // in lower case
}

// schema visits one schema. reachable says that only properties lead to it, by
// the names in path.
func (w *schemaWalk) schema(raw []byte, path []string, reachable bool, depth int) error {
	if depth > maxSchemaDepth {
		return fmt.Errorf("%w: schema nested deeper than %d", ErrParamHeader, maxSchemaDepth)
	}
	var header, typ []byte
	o := object{cursor: cursorOf(raw)}
	for o.next() {
		var err error
		switch string(o.name) {
		case annotation:
			if header = o.value().Of(raw); o.bad != nil {
				return fmt.Errorf("%w: schema is not JSON", ErrParamHeader)
			}
			o.taken = true
		case "type":
			typ = o.raw()
		case "properties":
			err = w.named(o.raw(), path, reachable, depth)
		case "patternProperties", "$defs", "definitions", "dependentSchemas":
			err = w.named(o.raw(), path, false, depth)
		case "const", "default", "enum", "examples":
			// Data, in which the annotation is a word like any other.
		default:
			err = w.keyword(o.raw(), path, depth)
		}
		if err != nil {
			return err
		}
	}
	if header == nil {
		return nil
	}
	return w.annotated(header, typ, path, reachable)
}

// named visits the schemas of an object that maps names to them.
func (w *schemaWalk) named(raw []byte, path []string, reachable bool, depth int) error {
	o := object{cursor: cursorOf(raw)}
	for o.next() {
		name := string(o.name)
		next := slices.Concat(path, []string{name})
		if err := w.schema(o.raw(), next, reachable, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// keyword visits what stands under any other keyword: a schema, an array of
// schemas, or neither.
func (w *schemaWalk) keyword(raw []byte, path []string, depth int) error {
	for v := range elements(raw) {
		if err := w.keyword(v, path, depth+1); err != nil {
			return err
		}
	}
	return w.schema(raw, path, false, depth+1)
}

// annotated takes the annotation of the property at path.
func (w *schemaWalk) annotated(header, typ []byte, path []string, reachable bool) error {
	at := strings.Join(path, ".")
	name, ok := Unquote(header)
	switch {
	case !ok || !validToken(name):
		return fmt.Errorf("%w at %q: not a header name", ErrParamHeader, at)
	case !reachable || len(path) == 0:
		return fmt.Errorf("%w at %q: no chain of properties leads there", ErrParamHeader, at)
	case !primitive(typ):
		return fmt.Errorf("%w at %q: type is not string, integer or boolean", ErrParamHeader, at)
	case w.names[strings.ToLower(name)]:
		return fmt.Errorf("%w at %q: a second %s", ErrParamHeader, at, HeaderParamPrefix+name)
	}
	w.names[strings.ToLower(name)] = true
	w.found = append(w.found, ParamHeader{Name: HeaderParamPrefix + name, Path: path})
	return nil
}

// primitive reports whether a schema's type allows the annotation: one of the
// three types, alone or with null in an array, whose value then goes without a
// header.
func primitive(typ []byte) bool {
	one := func(t string) bool { return t == "string" || t == "integer" || t == "boolean" }
	if t, ok := Unquote(typ); ok {
		return one(t)
	}
	kinds := 0
	for _, t := range texts(typ) {
		switch {
		case one(t):
			kinds++
		case t != "null":
			return false
		}
	}
	return kinds == 1
}

// HeaderValues returns the headers of a call with these arguments, a sound JSON
// object or nothing. An argument that is absent, null or not of a type that can
// be mirrored has none, nor has a number that is no integer of JavaScript's
// safe range.
func HeaderValues(args []byte, headers []ParamHeader) []HeaderValue {
	var list []HeaderValue
	for _, h := range headers {
		raw := lookup(args, h.Path)
		if v, ok := mirrored(raw); ok {
			list = append(list, HeaderValue{h.Name, EncodeHeaderValue(v), startsNumber(raw[0])})
		}
	}
	return list
}

// Matches reports whether a header that a client sent says the same as v, as a
// server has to check: values are compared decoded, integers by their value.
func (v HeaderValue) Matches(sent string) bool {
	got, err := DecodeHeaderValue(sent)
	if err != nil {
		return false
	}
	if v.number {
		got, _ = integer([]byte(got))
		return got == v.Value
	}
	want, err := DecodeHeaderValue(v.Value)
	return err == nil && got == want
}

// lookup returns the value at path, nil when there is none.
func lookup(raw []byte, path []string) []byte {
	for _, name := range path {
		var at []byte
		o := object{cursor: cursorOf(raw)}
		for o.next() {
			if string(o.name) == name {
				at = o.raw()
			}
		}
		raw = at
	}
	return raw
}

// mirrored returns the text that stands for a value in a header.
func mirrored(raw []byte) (string, bool) {
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		return Unquote(raw)
	case 't', 'f':
		return string(raw), true
	}
	return integer(raw)
}

// maxSafe is the largest integer that JavaScript's numbers hold exactly.
const maxSafe = 1<<53 - 1

// integer returns the decimal form of a JSON number that is an integer of the
// safe range, however it is written.
func integer(raw []byte) (string, bool) {
	if len(raw) == 0 || !startsNumber(raw[0]) {
		return "", false
	}
	end, _, ok := numberEnd(raw, 0)
	if !ok || end != len(raw) {
		return "", false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f > maxSafe || f < -maxSafe || f != float64(int64(f)) {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}
