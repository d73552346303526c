package config

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// object is a piece of a JSON Schema.
type object = map[string]any

// Schema is the JSON Schema of a document (draft 7, which editors know best),
// made from the structs that a document is decoded into and from the words of the
// reference. It accepts every valid document; what only the decoder can see, such
// as a variable that is not set, it does not find.
func Schema() []byte {
	s := schemer{map[string]Key{}}
	for _, k := range Reference() {
		s.keys[k.Path] = k
	}
	top := s.structure(reflect.TypeFor[file](), "")
	properties, _ := top["properties"].(object)
	for _, key := range clientKeys {
		properties[key] = object{"description": "A setting of a client. It has no effect here."}
	}
	properties["credentials"] = object{"type": "object", "description": "Credentials that several backends share, by name.", "additionalProperties": s.strategies()}
	properties["mcpServers"] = object{"type": []string{"object", "null"}, "description": "The backends, by name: the map that MCP clients write.", "additionalProperties": s.entry()}
	top["$schema"] = "http://json-schema.org/draft-07/schema#"
	top["title"] = "Recloser configuration"
	b, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		return nil // it is made of texts, numbers and lists of them
	}
	return append(b, '\n')
}

// schemer makes schemas of types; keys are what the reference says of each path.
type schemer struct{ keys map[string]Key }

// structure is the schema of a struct that is decoded key by key.
func (s schemer) structure(t reflect.Type, path string) object {
	properties := object{}
	s.fields(t, path, properties)
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

func (s schemer) fields(t reflect.Type, path string, into object) {
	// Outer fields come last and hide the embedded ones.
	for i := t.NumField() - 1; i >= 0; i-- {
		f := t.Field(i)
		key, inline, ok := keyOf(f)
		switch {
		case !ok:
		case inline:
			embedded := object{}
			s.fields(f.Type, path, embedded)
			for k, v := range embedded {
				if _, hidden := into[k]; !hidden {
					into[k] = v
				}
			}
		case into[key] == nil:
			into[key] = s.described(join(path, key), s.value(f.Type, join(path, key)))
		}
	}
}

// described adds what the reference says of a key.
func (s schemer) described(path string, o object) object {
	k, ok := s.keys[path]
	if !ok {
		return o
	}
	o["description"] = k.Meaning
	if k.Default != "" {
		o["default"] = plainDefault(k.Default)
	}
	return o
}

// plainDefault is a default as JSON has it.
func plainDefault(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	if text == "true" || text == "false" {
		return text == "true"
	}
	return text
}

// Texts that stand for values of other types; a variable stands for any.
const (
	reference = `\$\{`
	durations = `^[+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)`
	sizes     = `^\s*\d*\.?\d+\s*([KMG]i?)?B?\s*$`
)

var quotedWord = regexp.MustCompile("`([^`]*)`")

// value is the schema of whatever a type is decoded from.
func (s schemer) value(t reflect.Type, path string) object {
	if special := s.special(t, path); special != nil {
		return special
	}
	switch {
	case t == valueType || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return anyText()
	case t == durationType:
		return object{"anyOf": []object{{"type": "string", "pattern": durations + "|^0$|" + reference}, {"const": 0}}, "examples": []string{"500ms", "30s", "5m"}}
	case t == sizeType:
		return object{"anyOf": []object{{"type": "string", "pattern": sizes + "|" + reference}, {"type": "integer", "minimum": 0}}, "examples": []string{"512KiB", "8MiB"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.value(t.Elem(), path)
	case reflect.Struct:
		return s.structure(t, path)
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.value(t.Elem(), "")}
	case reflect.Slice:
		return object{"type": "array", "items": s.value(t.Elem(), "")}
	case reflect.Bool:
		return object{"anyOf": []object{{"type": "boolean"}, {"type": "string", "pattern": "^(true|false)$|" + reference}}}
	case reflect.String:
		return s.words(path)
	}
	return object{"anyOf": []object{{"type": "integer"}, {"type": "string", "pattern": `^[+-]?\d+$|` + reference}}}
}

// anyText is what a text is read from: YAML need not quote one that looks like a
// number.
func anyText() object { return object{"type": []string{"string", "number", "boolean"}} }

// words are the words that the reference allows for a key, if it names them all.
func (s schemer) words(path string) object {
	k, ok := s.keys[path]
	rest := quotedWord.ReplaceAllString(k.Type, "")
	if !ok || !strings.Contains(k.Type, "`") || strings.Trim(rest, ", or") != "" {
		return anyText()
	}
	var all []string
	for _, m := range quotedWord.FindAllStringSubmatch(k.Type, -1) {
		all = append(all, m[1])
	}
	return object{"anyOf": []object{{"enum": all}, {"type": "string", "pattern": reference}}}
}

// special are types that read their part of the tree themselves.
func (s schemer) special(t reflect.Type, path string) object {
	text := anyText()
	switch t {
	case reflect.TypeFor[headerList]():
		return object{"type": "object", "additionalProperties": text}
	case reflect.TypeFor[authSection]():
		return s.strategies()
	case reflect.TypeFor[clientTimeout]():
		return object{"anyOf": []object{{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": durations + `|^[\d.]+$|` + reference}}}
	case reflect.TypeFor[kept]():
		switch path[strings.LastIndexByte(path, '.')+1:] {
		case "args":
			return object{"type": []string{"array", "null"}, "items": text}
		case "env":
			return object{"type": []string{"object", "null"}, "additionalProperties": text}
		}
		return text
	case reflect.TypeFor[credentialSection](), reflect.TypeFor[serverSection]():
		return object{} // put in by Schema
	}
	return nil
}

// entry is one member of mcpServers. One that is switched off may be as unfinished
// as it likes.
func (s schemer) entry() object {
	whole := s.structure(reflect.TypeFor[entry](), "mcpServers.NAME")
	properties, _ := whole["properties"].(object)
	for key, why := range ignored {
		properties[key] = object{"description": "It has no effect here: " + why + "."}
	}
	if tools, ok := properties["tools"].(object); ok {
		properties["tools"] = object{"anyOf": []object{tools, {"type": "array", "items": anyText(), "description": "The same as tools.allow."}}}
	}
	// Transports have more spellings than are worth completing.
	spellings := []string{"http", "sse", "stdio", "streamable-http", "streamableHttp"}
	for _, key := range []string{"type", "transport"} {
		properties[key] = s.described("mcpServers.NAME."+key, object{"anyOf": []object{{"enum": spellings}, {"type": "string"}}})
	}
	var one []object
	for _, key := range append(slices.Clone(urlKeys), "command") {
		one = append(one, object{"required": []string{key}})
	}
	whole["anyOf"] = one
	off := object{"type": "object", "required": []string{"disabled"}, "properties": object{"disabled": object{"enum": []any{true, "true"}}}}
	return object{"anyOf": []object{whole, off}}
}

// strategies is a section {type, settings} or {use}.
func (s schemer) strategies() object {
	types := map[string]reflect.Type{
		"unauthenticated":    reflect.TypeFor[struct{}](),
		"header":             reflect.TypeFor[auth.HeaderOptions](),
		"bearer":             reflect.TypeFor[auth.BearerOptions](),
		"client_credentials": reflect.TypeFor[auth.ClientCredentialsOptions](),
	}
	names := slices.Sorted(maps.Keys(types))
	use := s.structure(reflect.TypeFor[struct {
		Use      string
		Scopes   []string
		Resource string
	}](), "auth")
	use["required"] = []string{"use"}
	branches := []object{use}
	for _, name := range names {
		b := s.structure(types[name], name)
		properties, _ := b["properties"].(object)
		properties["type"] = s.described("auth.type", object{"const": name})
		b["required"] = append([]string{"type"}, required[name]...)
		branches = append(branches, b)
	}
	others := object{"type": "object", "required": []string{"type"}, "description": "A type of a program that embeds the gateway.",
		"properties": object{"type": object{"type": "string", "not": object{"enum": names}}}}
	return object{"anyOf": append(branches, others), "description": s.keys["mcpServers.NAME.auth"].Meaning}
}

// required are the settings without which a type does not work. A file may name
// them under another roof: header is complete with the headers of its backend.
var required = map[string][]string{
	"bearer":             {"token"},
	"client_credentials": {"tokenURL", "clientID", "clientSecret"},
}
