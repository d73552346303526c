package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parts returns the spans of an envelope as text, without those that are absent.
func parts(b []byte, e Envelope) map[string]string {
	m := map[string]string{}
	for name, s := range map[string]Span{
		"method": e.MethodAt, "id": e.ID, "params": e.Params, "result": e.Result, "error": e.Error,
		"name": e.Name, "uri": e.URI, "cursor": e.Cursor, "arguments": e.Arguments, "requestId": e.RequestID,
		"ref.type": e.RefType, "ref.name": e.RefName, "ref.uri": e.RefURI,
		"_meta": e.Meta, "progressToken": e.ProgressToken, "protocolVersion": e.ProtocolVersion,
		"clientInfo": e.ClientInfo, "clientCapabilities": e.ClientCapabilities, "logLevel": e.LogLevel,
		"subscriptionId": e.SubscriptionID,
	} {
		if s.Present() {
			m[name] = string(e.Get(b, s))
		}
	}
	return m
}

func TestScanFindsTheParts(t *testing.T) {
	for _, tc := range []struct {
		name, doc, method string
		kind              Kind
		want              map[string]string
	}{
		{"request", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1,{}]}}}`,
			MethodToolsCall, Request, map[string]string{
				"id": "1", "method": `"tools/call"`, "params": `{"name":"x","arguments":{"a":[1,{}]}}`,
				"name": `"x"`, "arguments": `{"a":[1,{}]}`}},
		{"any order, white space", " \n{ \"params\" : { \"uri\" : \"file:///a\" } , \"method\":\"resources/read\",\t\"id\" : \"q\" , \"jsonrpc\" : \"2.0\" } \r\n",
			MethodRead, Request, map[string]string{
				"id": `"q"`, "method": `"resources/read"`, "params": `{ "uri" : "file:///a" }`, "uri": `"file:///a"`}},
		{"escaped names and method", `{"jsonrpc":"2\u002e0","\u0069d":7,"\u006dethod":"tools\/call","par\u0061ms":{"n\u0061me":"\u0078"}}`,
			MethodToolsCall, Request, map[string]string{
				"id": "7", "method": `"tools\/call"`, "params": `{"n\u0061me":"\u0078"}`, "name": `"\u0078"`}},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12,"reason":"bored"}}`,
			NoteCancelled, Notification, map[string]string{
				"method": `"notifications/cancelled"`, "params": `{"requestId":12,"reason":"bored"}`, "requestId": "12"}},
		{"progress", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":0.5}}`,
			NoteProgress, Notification, map[string]string{
				"method": `"notifications/progress"`, "params": `{"progressToken":"t","progress":0.5}`, "progressToken": `"t"`}},
		{"a progress notification with a _meta", `{"jsonrpc":"2.0","params":{"_meta":{"progressToken":1},"progressToken":2},"method":"notifications/progress"}`,
			NoteProgress, Notification, map[string]string{
				"method": `"notifications/progress"`, "params": `{"_meta":{"progressToken":1},"progressToken":2}`, "_meta": `{"progressToken":1}`, "progressToken": "2"}},
		{"two tokens of two meanings", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1},"progressToken":2}}`,
			"x", Request, map[string]string{
				"id": "1", "method": `"x"`, "params": `{"_meta":{"progressToken":1},"progressToken":2}`,
				"_meta": `{"progressToken":1}`, "progressToken": "1"}},
		{"completion", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}}`,
			MethodComplete, Request, map[string]string{
				"id": "1", "method": `"completion/complete"`, "params": `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}`,
				"ref.type": `"ref/prompt"`, "ref.name": `"p"`}},
		{"template", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"file:///{p}"}}}`,
			MethodComplete, Request, map[string]string{
				"id": "1", "method": `"completion/complete"`, "params": `{"ref":{"type":"ref/resource","uri":"file:///{p}"}}`,
				"ref.type": `"ref/resource"`, "ref.uri": `"file:///{p}"`}},
		{"meta", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"c","_meta":{"progressToken":3,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"info"}}}`,
			MethodToolsList, Request, map[string]string{
				"id": "1", "method": `"tools/list"`, "cursor": `"c"`,
				"params":        `{"cursor":"c","_meta":{"progressToken":3,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"info"}}`,
				"_meta":         `{"progressToken":3,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"info"}`,
				"progressToken": "3", "protocolVersion": `"2026-07-28"`, "clientInfo": "{}", "clientCapabilities": `{"roots":{}}`, "logLevel": `"info"`}},
		{"subscription", `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}`,
			NoteToolsChanged, Notification, map[string]string{
				"method": `"notifications/tools/list_changed"`, "params": `{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}`,
				"_meta": `{"io.modelcontextprotocol/subscriptionId":"s"}`, "subscriptionId": `"s"`}},
		{"nulls", `{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`,
			MethodPing, Request, map[string]string{"id": "1", "method": `"ping"`, "params": "null"}},
		{"null inside params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":null,"arguments":null,"_meta":null,"cursor":1,"ref":[]}}`,
			MethodToolsCall, Request, map[string]string{"id": "1", "method": `"tools/call"`,
				"params": `{"name":null,"arguments":null,"_meta":null,"cursor":1,"ref":[]}`, "arguments": "null", "_meta": "null"}},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"vendor/\u00e9"}`,
			"vendor/é", Request, map[string]string{"id": "1", "method": `"vendor/\u00e9"`}},
		{"another method may use capitals", `{"jsonrpc":"2.0","id":1,"method":"vendor/x","params":{"Name":"n","URI":"u"}}`,
			"vendor/x", Request, map[string]string{"id": "1", "method": `"vendor/x"`, "params": `{"Name":"n","URI":"u"}`}},
		{"arguments may use capitals", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"Name":"n"},"_meta":{"Name":1}}}`,
			MethodToolsCall, Request, map[string]string{"id": "1", "method": `"tools/call"`, "name": `"x"`,
				"params": `{"name":"x","arguments":{"Name":"n"},"_meta":{"Name":1}}`, "arguments": `{"Name":"n"}`, "_meta": `{"Name":1}`}},
		{"response", `{"jsonrpc":"2.0","id":"a","result":{"roots":[]}}`,
			"", Response, map[string]string{"id": `"a"`, "result": `{"roots":[]}`}},
		{"error response", `{"jsonrpc":"2.0","id":-3,"error":{"code":-1,"message":"no"}}`,
			"", Response, map[string]string{"id": `-3`, "error": `{"code":-1,"message":"no"}`}},
		{"error response without id", `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}`,
			"", Response, map[string]string{"error": `{"code":-1,"message":"no"}`}},
		{"result with a null error", `{"jsonrpc":"2.0","id":1,"result":{},"error":null}`,
			"", Response, map[string]string{"id": "1", "result": "{}"}},
		{"batch", ` [{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "", Batch, map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := Scan([]byte(tc.doc))
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != tc.kind || e.Method != tc.method {
				t.Errorf("got %v %q, want %v %q", e.Kind, e.Method, tc.kind, tc.method)
			}
			if diff := cmp.Diff(tc.want, parts([]byte(tc.doc), e)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	deep := func(n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `}}`
	}
	for _, tc := range []struct {
		name, doc string
		code      int
		id        string // of the envelope returned with the error
	}{
		{"nothing", ``, ParseError, ""},
		{"white space", " \n", ParseError, ""},
		{"cut in a string", `{"jsonrpc":"2.0","id":1,"method":"pin`, ParseError, ""},
		{"cut after a value", `{"jsonrpc":"2.0","id":1`, ParseError, ""},
		{"trailing data", `{"jsonrpc":"2.0","id":1,"method":"ping"} x`, ParseError, ""},
		{"two documents", `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, ParseError, ""},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, ParseError, ""},
		{"single quotes", `{'jsonrpc':'2.0'}`, ParseError, ""},
		{"leading zero", `{"jsonrpc":"2.0","id":01,"method":"ping"}`, ParseError, ""},
		{"bare minus", `{"jsonrpc":"2.0","id":-,"method":"ping"}`, ParseError, ""},
		{"number with a dot", `{"jsonrpc":"2.0","id":1,"method":"ping","x":1.}`, ParseError, ""},
		{"number with an empty exponent", `{"jsonrpc":"2.0","id":1,"method":"ping","x":1e+}`, ParseError, ""},
		{"misspelt literal", `{"jsonrpc":"2.0","id":1,"method":"ping","x":nul}`, ParseError, ""},
		{"unknown escape", `{"jsonrpc":"2.0","id":1,"method":"ping","x":"\q"}`, ParseError, ""},
		{"short escape", `{"jsonrpc":"2.0","id":1,"method":"ping","x":"\u12g4"}`, ParseError, ""},
		{"raw line feed in a string", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"a\nb\"}", ParseError, ""},
		{"mismatched brackets", `{"jsonrpc":"2.0","id":1,"method":"ping","x":[1}}`, ParseError, ""},
		{"byte order mark", "\xEF\xBB\xBF{}", ParseError, ""},
		{"a byte above ASCII", "\x80", ParseError, ""},
		{"broken batch", `[{]`, ParseError, ""},
		{"no comma", `{"jsonrpc":"2.0" "id":1}`, ParseError, ""},
		{"no colon", `{"jsonrpc" "2.0"}`, ParseError, ""},

		{"a string", `"hello"`, InvalidRequest, ""},
		{"null", `null`, InvalidRequest, ""},
		{"empty object", `{}`, InvalidRequest, ""},
		{"no version", `{"id":1,"method":"ping"}`, InvalidRequest, "1"},
		{"wrong version", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, InvalidRequest, "1"},
		{"version as number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, InvalidRequest, "1"},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, InvalidRequest, ""},
		{"fraction as id", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, InvalidRequest, ""},
		{"exponent in id", `{"jsonrpc":"2.0","id":1e2,"method":"ping"}`, InvalidRequest, ""},
		{"boolean id", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, InvalidRequest, ""},
		{"object id", `{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}`, InvalidRequest, ""},
		{"method is a number", `{"jsonrpc":"2.0","method":3,"id":9}`, InvalidRequest, "9"},
		{"method is null", `{"jsonrpc":"2.0","method":null,"id":9}`, InvalidRequest, "9"},
		{"params is an array", `{"jsonrpc":"2.0","params":[1],"id":9,"method":"ping"}`, InvalidRequest, "9"},
		{"neither call nor answer", `{"jsonrpc":"2.0","id":9}`, InvalidRequest, "9"},
		{"both call and answer", `{"jsonrpc":"2.0","id":9,"method":"ping","result":{}}`, InvalidRequest, "9"},
		{"result and error", `{"jsonrpc":"2.0","id":9,"error":{},"result":{}}`, InvalidRequest, "9"},
		{"error is a string", `{"jsonrpc":"2.0","error":"no","id":9}`, InvalidRequest, "9"},
		{"only a null error", `{"jsonrpc":"2.0","id":9,"error":null}`, InvalidRequest, "9"},
		{"result without id", `{"jsonrpc":"2.0","result":{}}`, InvalidRequest, ""},
		{"second id", `{"jsonrpc":"2.0","id":1,"method":"ping","id":2}`, InvalidRequest, ""},
		{"second id with an escape", `{"jsonrpc":"2.0","id":1,"method":"ping","\u0069d":2}`, InvalidRequest, ""},
		{"second method", `{"jsonrpc":"2.0","method":"ping","id":1,"method":"tools/call"}`, InvalidRequest, "1"},
		{"second params", `{"jsonrpc":"2.0","method":"ping","id":1,"params":{},"params":{}}`, InvalidRequest, "1"},
		{"second version", `{"jsonrpc":"2.0","jsonrpc":"2.0","method":"ping","id":1}`, InvalidRequest, "1"},
		{"too deep", deep(1001), InvalidRequest, "1"},
		{"too deep in a batch", strings.Repeat("[", 5000), InvalidRequest, ""},

		{"second name", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","name":"b"},"id":1}`, InvalidParams, "1"},
		{"second name with an escape", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","n\u0061me":"b"},"id":1}`, InvalidParams, "1"},
		{"second name after null", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":null,"name":"b"},"id":1}`, InvalidParams, "1"},
		{"second uri", `{"jsonrpc":"2.0","method":"resources/read","params":{"uri":"a","uri":"b"},"id":1}`, InvalidParams, "1"},
		{"second _meta", `{"jsonrpc":"2.0","method":"ping","params":{"_meta":{},"_meta":{}},"id":1}`, InvalidParams, "1"},
		{"_meta is a string", `{"jsonrpc":"2.0","method":"ping","params":{"_meta":"x"},"id":1}`, InvalidParams, "1"},
		{"second token", `{"jsonrpc":"2.0","method":"ping","params":{"_meta":{"progressToken":1,"progressToken":2}},"id":1}`, InvalidParams, "1"},
		{"second ref name", `{"jsonrpc":"2.0","method":"completion/complete","params":{"ref":{"name":"a","name":"b"}},"id":1}`, InvalidParams, "1"},
		{"method in capitals, too", `{"jsonrpc":"2.0","method":"ping","Method":"tools/call","id":1}`, InvalidRequest, "1"},
		{"id in capitals", `{"jsonrpc":"2.0","method":"ping","ID":1}`, InvalidRequest, ""},
		{"params with a long s", `{"jsonrpc":"2.0","method":"ping","id":1,"param\u017f":{}}`, InvalidRequest, "1"},
		{"name in capitals, too", `{"jsonrpc":"2.0","params":{"name":"a","Name":"b"},"method":"tools/call","id":1}`, InvalidParams, "1"},
		{"arguments in capitals", `{"jsonrpc":"2.0","params":{"name":"a","ARGUMENTS":{}},"method":"tools/call","id":1}`, InvalidParams, "1"},
		{"ref name in capitals, too", `{"jsonrpc":"2.0","method":"completion/complete","params":{"ref":{"name":"a","nAme":"b"}},"id":1}`, InvalidParams, "1"},
		{"grammar before meaning", `{"jsonrpc":"2.0","id":null,"method":"ping"`, ParseError, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := Scan([]byte(tc.doc))
			var se *ScanError
			if !errors.As(err, &se) {
				t.Fatalf("got error %v, want a ScanError", err)
			}
			if se.Code != tc.code {
				t.Errorf("code %d (%v), want %d", se.Code, err, tc.code)
			}
			if got := string(e.ID.Of([]byte(tc.doc))); got != tc.id {
				t.Errorf("id %q, want %q", got, tc.id)
			}
		})
	}
	if _, err := Scan([]byte(deep(1000))); err != nil {
		t.Errorf("depth 1000: %v", err)
	}
}

func TestScanErrorsDoNotQuoteTheDocument(t *testing.T) {
	const canary = "s3cr3t-c4n4ry"
	for _, doc := range []string{canary, `{"` + canary, `{"jsonrpc":"` + canary + `"}`, `{"jsonrpc":"2.0","id":{"` + canary + `":1},"method":"ping"}`} {
		if _, err := Scan([]byte(doc)); err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), canary) {
			t.Errorf("error of %q: %v", doc, err)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	docs := [][]byte{
		[]byte(smallCall), []byte(modernCall),
		[]byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`),
		[]byte(`{"jsonrpc":"2.0","id":"\u0041","result":{"a":[1,2,{"b":null}]}}`),
	}
	for _, doc := range docs {
		if n := testing.AllocsPerRun(100, func() {
			if e, err := Scan(doc); err != nil || e.Kind == 0 {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for %s", n, doc)
		}
	}
}

func TestEveryPrefixOfAMessageIsAParseError(t *testing.T) {
	doc := []byte(`{"jsonrpc":"2.0","id":-12,"method":"x\u00e9\n","params":{"a":[true,false,null,1.5e-3,"\"",{"b":{}},[]],"_meta":{}}}`)
	if _, err := Scan(doc); err != nil {
		t.Fatal(err)
	}
	for n := range doc {
		var se *ScanError
		if _, err := Scan(doc[:n]); !errors.As(err, &se) || se.Code != ParseError || se.Offset != n {
			t.Errorf("prefix of %d bytes: %v", n, err)
		}
	}
}

func TestEnvelopeRevisionAndName(t *testing.T) {
	for doc, want := range map[string][2]string{
		modernCall: {"2026-07-28", `"weather_get_forecast"`},
		smallCall:  {"", `"weather_get_forecast"`},
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"n","uri":"u","_meta":{"io.modelcontextprotocol/protocolVersion":"3000\u002d01"}}}`: {"3000-01", `"u"`},
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"n"}}`:                                                                                  {"", ""},
	} {
		e, err := Scan([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{string(e.Revision([]byte(doc))), string(e.NameAt().Of([]byte(doc)))}; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestQuoteAndUnquoteAgreeWithEncodingJSON(t *testing.T) {
	for _, s := range []string{"", "plain", `a"b\c/d`, "\x00\x1f\n\r\t\b\f", "héllo 世界 😀", "\xff\xfe bad", "\u2028<>&", "\xed\xa0\x80"} {
		q := Quote(nil, s)
		var want string
		if err := json.Unmarshal(q, &want); err != nil {
			t.Fatalf("Quote(%q) = %s: %v", s, q, err)
		}
		if got, ok := Unquote(q); !ok || got != want {
			t.Errorf("Unquote(%s) = %q, want %q", q, got, want)
		}
	}
	for _, raw := range []string{`"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ude00\ud83d"`, `"\ud83d\u0041"`, `"\u00E9\/\b\f"`, "\"\xff\""} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatal(err)
		}
		if got, ok := Unquote([]byte(raw)); !ok || got != want {
			t.Errorf("Unquote(%s) = %q, want %q", raw, got, want)
		}
	}
	for _, raw := range []string{``, `"`, `x`, `"a`, `"a"b`, `"a" `, `"\x"`, "\"\n\"", `null`} {
		if got, ok := Unquote([]byte(raw)); ok {
			t.Errorf("Unquote(%s) = %q, want a refusal", raw, got)
		}
	}
}
