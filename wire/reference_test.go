package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the fuzz tests compare with: the same questions, answered slowly with
// encoding/json.

// depthOf returns how deep a sound document nests.
func depthOf(doc []byte) (deepest int) {
	depth, inText := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// checkEnvelope compares an envelope with what encoding/json finds.
func checkEnvelope(t *testing.T, doc []byte, e Envelope) {
	object := func(raw json.RawMessage) (m map[string]json.RawMessage) {
		_ = json.Unmarshal(raw, &m)
		return m
	}
	top := object(doc)
	params := object(top["params"])
	meta, ref := object(params["_meta"]), object(params["ref"])
	var method string
	_ = json.Unmarshal(top["method"], &method)
	if e.Method != method {
		t.Fatalf("method %q, want %q", e.Method, method)
	}
	is := func(kinds string, raw json.RawMessage) string {
		if len(raw) == 0 || !strings.ContainsRune(kinds, rune(raw[0])) {
			return ""
		}
		return string(raw)
	}
	const text, token, value, container = `"`, `"-0123456789`, `"-0123456789{[tfn`, `{n`
	progress := is(token, meta["progressToken"])
	if own := is(token, params["progressToken"]); own != "" && (progress == "" || method == NoteProgress) {
		progress = own
	}
	want := map[string]string{
		"method": is(text, top["method"]), "id": is(token, top["id"]), "params": is(container, top["params"]),
		"result": is(value, top["result"]), "error": is("{", top["error"]),
		"name": is(text, params["name"]), "uri": is(text, params["uri"]), "cursor": is(text, params["cursor"]),
		"arguments": is(value, params["arguments"]), "requestId": is(token, params["requestId"]),
		"ref.type": is(text, ref["type"]), "ref.name": is(text, ref["name"]), "ref.uri": is(text, ref["uri"]),
		"_meta": is(container, params["_meta"]), "progressToken": progress,
		"protocolVersion": is(text, meta[MetaProtocolVersion]), "clientInfo": is(value, meta[MetaClientInfo]),
		"clientCapabilities": is(value, meta[MetaClientCapabilities]), "logLevel": is(text, meta[MetaLogLevel]),
		"subscriptionId": is(token, meta[MetaSubscriptionID]),
	}
	for k, v := range want {
		if v == "" {
			delete(want, k)
		}
	}
	if diff := cmp.Diff(want, parts(doc, e)); diff != "" {
		t.Fatal(diff)
	}
}

// soundResponse judges a document with encoding/json.
func soundResponse(doc []byte) bool {
	var top map[string]json.RawMessage
	if !json.Valid(doc) || json.Unmarshal(doc, &top) != nil || top == nil {
		return false
	}
	count := map[string]int{}
	dec := json.NewDecoder(bytes.NewReader(doc))
	_, _ = dec.Token()
	for dec.More() {
		key, _ := dec.Token()
		count[key.(string)]++
		var skip json.RawMessage
		_ = dec.Decode(&skip)
	}
	if count["id"] > 1 || count["result"] > 1 || count["error"] > 1 || count["method"] > 0 {
		return false
	}
	if id := top["id"]; len(id) > 0 && bytes.IndexByte([]byte(`{[tf`), id[0]) >= 0 {
		return false
	}
	failed := len(top["error"]) > 0 && top["error"][0] == '{'
	if len(top["error"]) > 0 && !failed && string(top["error"]) != "null" {
		return false
	}
	return failed || count["result"] == 1
}

// naiveEvents reads a whole stream as the HTML standard words it.
func naiveEvents(in string) (list []Event, cut bool) {
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	last := lines[len(lines)-1]
	lines = lines[:len(lines)-1]
	if len(lines) > 0 {
		lines[0] = strings.TrimPrefix(lines[0], "\xEF\xBB\xBF")
	}
	var ev Event
	var data []string
	id, pending := "", false
	for _, line := range lines {
		if line == "" {
			if data != nil {
				ev.ID, ev.Data = id, []byte(strings.Join(data, "\n"))
				list = append(list, ev)
			}
			ev, data, pending = Event{}, nil, false
			continue
		}
		if line[0] == ':' {
			continue
		}
		pending = true
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			ev.Type = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				ev.Retry = retryOf([]byte(value))
			}
		}
	}
	return list, pending || last != ""
}

// countAnnotations judges a decoded schema, but for names that are given twice.
func countAnnotations(node any, reachable, property bool) (n int, sound bool) {
	m, _ := node.(map[string]any)
	sound = true
	add := func(node any, reachable, property bool) {
		more, ok := countAnnotations(node, reachable, property)
		n, sound = n+more, sound && ok
	}
	for k, v := range m {
		switch k {
		case "x-mcp-header":
			name, _ := v.(string)
			types, isList := m["type"].([]any)
			if !isList {
				types = []any{m["type"]}
			}
			primitives := 0
			for _, typ := range types {
				switch typ {
				case "string", "integer", "boolean":
					primitives++
				case "null":
				default:
					if _, isText := typ.(string); isText || !isList {
						primitives = -len(types)
					}
				}
			}
			n++
			sound = sound && reachable && property && primitives == 1 && validToken(name)
		case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
			named, _ := v.(map[string]any)
			for _, schema := range named {
				add(schema, reachable && k == "properties", true)
			}
		case "const", "default", "enum", "examples":
		default:
			var visit func(v any)
			visit = func(v any) {
				list, _ := v.([]any)
				for _, item := range list {
					visit(item)
				}
				add(v, false, false)
			}
			visit(v)
		}
	}
	return n, sound
}

// repeats reports whether an object of the document has a name twice.
func repeats(doc []byte) bool {
	var compact bytes.Buffer
	_ = json.Compact(&compact, doc)
	var v any
	_ = json.Unmarshal(doc, &v)
	again, _ := json.Marshal(v)
	return bytes.Count(again, []byte(":")) != bytes.Count(compact.Bytes(), []byte(":"))
}

// checkPath follows a header's path with encoding/json.
func checkPath(t *testing.T, schema, args []byte, h ParamHeader) {
	var node any
	_ = json.Unmarshal(schema, &node)
	var value any
	_ = json.Unmarshal(args, &value)
	for _, name := range h.Path {
		m, _ := node.(map[string]any)
		properties, _ := m["properties"].(map[string]any)
		node = properties[name]
		object, _ := value.(map[string]any)
		value = object[name]
	}
	if m, _ := node.(map[string]any); m == nil {
		t.Fatalf("%v leads nowhere in %s", h.Path, schema)
	}
	got := HeaderValues(args, []ParamHeader{h})
	text, isText := value.(string)
	if isText != (len(got) == 1 && !got[0].number && args != nil && got[0].Matches(EncodeHeaderValue(text))) {
		if _, isBool := value.(bool); !isBool {
			t.Fatalf("%v of %s is %v, but %v", h.Path, args, value, got)
		}
	}
}
