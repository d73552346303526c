package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInitialize(t *testing.T) {
	got, err := ParseInitialize([]byte(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{ }},"serverInfo":{"name":"n"},"instructions":"a\nb","x":[1]}`))
	want := Initialize{Rev20251125, []byte(`{"tools":{ }}`), []byte(`{"name":"n"}`), "a\nb"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	got, err = ParseInitialize([]byte(`{"protocolVersion":"1999-01-01","capabilities":null}`))
	if diff := cmp.Diff(Initialize{Revision: "1999-01-01"}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"protocolVersion":3}`, `{"protocolVersion":"x"`, `{"protocolVersion":"x"}}`, `null`} {
		if got, err := ParseInitialize([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", bad, got, err)
		}
	}
}

func TestParseDiscover(t *testing.T) {
	got, err := ParseDiscover([]byte(`{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25",7],"capabilities":{"tools":{}},"_meta":{"x":1,"io.modelcontextprotocol/serverInfo":{"name":"n"}},"instructions":"i","ttlMs":3600000,"cacheScope":"public"}`))
	want := Discover{[]string{"2026-07-28", "2025-11-25"}, []byte(`{"tools":{}}`), []byte(`{"name":"n"}`), "i"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, bad := range []string{``, `3`, `{}`, `{"supportedVersions":[]}`, `{"supportedVersions":"2026-07-28"}`, `{"supportedVersions":["x"]`} {
		if got, err := ParseDiscover([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", bad, got, err)
		}
	}
}

func TestParseUnsupported(t *testing.T) {
	supported, requested, err := ParseUnsupported([]byte(`{"supported":["2026-07-28","2025-11-25"],"requested":"1900-01-01"}`))
	if err != nil || requested != "1900-01-01" || len(supported) != 2 {
		t.Error(supported, requested, err)
	}
	if r, ok := Newest(supported); r != Rev20260728 || !ok {
		t.Error(r, ok)
	}
	for _, bad := range []string{``, `null`, `{}`, `{"supported":[]}`, `{"supported":[1]}`} {
		if _, _, err := ParseUnsupported([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestIsModernError(t *testing.T) {
	for body, want := range map[string]bool{
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-11-25"],"requested":"2026-07-28"}}}`: true,
		`{"jsonrpc":"2.0","id":"a","error":{"code":-32020,"message":"Header mismatch"}}`:                                                                         true,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32021,"message":""}}`:                                                                                       true,
		`{"jsonrpc":"2.0","error":{"code":-32020,"message":""}}`:                                                                                                 true,
		// What elder servers say to a request they do not know or expect.
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}`:                             false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"missing _meta"}}`:                                false,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Unsupported protocol version"}}`: false,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`: false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Invalid request"}}`:                              false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32023,"message":"reserved, without a meaning"}}`:                  false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32020.0,"message":"no integer"}}`:                                 false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":"-32020","message":"a string"}}`:                                   false,
		`{"jsonrpc":"2.0","id":1,"error":{"message":"-32020"}}`:                                                     false,
		`{"jsonrpc":"2.0","id":1,"error":"-32020"}`:                                                                 false,
		`{"jsonrpc":"2.0","id":1,"error":null}`:                                                                     false,
		`{"jsonrpc":"2.0","id":1,"result":{"error":{"code":-32020}}}`:                                               false,
		`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":-32020,"message":""}}`:                                 false,
		`{"jsonrpc":"2.0","id":1,"method":"x","error":{"code":-32020,"message":""}}`:                                false,
		`{"id":1,"error":{"code":-32020,"message":"no version"}}`:                                                   false,
		`{"code":-32020,"message":"bare"}`:                                                                          false,
		`[{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":""}}]`:                                           false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"cut"`:                                            false,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":""}} trailing`:                                    false,
		`{"error":"invalid_token","error_description":"-32020"}`:                                                    false,
		`Unsupported protocol version -32022`:                                                                       false,
		`<html>-32020</html>`:                                                                                       false,
		``:                                                                                                          false,
	} {
		if got := IsModernError([]byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

func TestScanAnswer(t *testing.T) {
	type view struct {
		ID, Result, Type, Error, Message, Data string
		Code                                   int
	}
	for doc, want := range map[string]view{
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","x":[]}}`: {ID: "1", Result: `{"resultType":"input_required","x":[]}`, Type: `"input_required"`},
		`{"id":"a","result":{"resultType":1}}`:                                     {ID: `"a"`, Result: `{"resultType":1}`},
		`{"id":1,"result":"x","error":null}`:                                       {ID: "1", Result: `"x"`},
		`{"id":null,"error":{"data":[1],"message":"m","code":-32022}}`:             {Error: `{"data":[1],"message":"m","code":-32022}`, Code: -32022, Message: `"m"`, Data: "[1]"},
		`{"error":{"code":1.5,"message":2}}`:                                       {Error: `{"code":1.5,"message":2}`},
		`{"error":{"code":99999999999999999}}`:                                     {Error: `{"code":99999999999999999}`, Code: 99999999999999999},
	} {
		a, err := ScanAnswer([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		of := func(s Span) string { return string(s.Of([]byte(doc))) }
		got := view{of(a.ID), of(a.Result), of(a.ResultType), of(a.Error), of(a.Message), of(a.Data), a.ErrorCode}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", doc, diff)
		}
	}
	for doc, want := range map[string]error{``: ErrTruncated, `{"id":1,"result":{`: ErrTruncated, `{"id":1}`: ErrInvalid, `{"error":"text"}`: ErrInvalid, `{"error":null}`: ErrInvalid, `x`: ErrInvalid} {
		if _, err := ScanAnswer([]byte(doc)); !errors.Is(err, want) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestElements(t *testing.T) {
	result := []byte(`{"nextCursor":"c\u0031","tools":[ {"name":"a","x":{"name":"no"}} , {"n\u0061me" : "b\/c","uri":"u"},{"uriTemplate":"file:///{x}"},null,7,{"name":3}],"_meta":{"tools":[1]}}`)
	got, cursor, err := Elements(result, "tools")
	if err != nil || cursor != "c1" {
		t.Fatal(cursor, err)
	}
	want := []Element{
		{[]byte(`{"name":"a","x":{"name":"no"}}`), "a", "", Span{8, 11}},
		{[]byte(`{"n\u0061me" : "b\/c","uri":"u"}`), "b/c", "u", Span{15, 21}},
		{[]byte(`{"uriTemplate":"file:///{x}"}`), "", "file:///{x}", Span{}},
		{Raw: []byte("null")}, {Raw: []byte("7")}, {Raw: []byte(`{"name":3}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s := Splice(nil, got[1].Raw, Edit{got[1].NameAt, []byte(`"p_b"`)}); string(s) != `{"n\u0061me" : "p_b","uri":"u"}` {
		t.Errorf("spliced %s", s)
	}
	for in, n := range map[string]int{`{"tools":[]}`: 0, `{"tools":null}`: 0, `{"tools":[{}]}`: 1, ` {"x":1, "tools" : [ [] , {} ] } `: 2} {
		if got, _, err := Elements([]byte(in), "tools"); err != nil || len(got) != n {
			t.Errorf("%s: %d, %v", in, len(got), err)
		}
	}
	for _, in := range []string{``, `{}`, `[]`, `{"prompts":[]}`, `{"tools":{}}`, `{"tools":"x"}`, `{"tools":[}`, `{"tools":[]`, `{"tools":[]}x`} {
		if got, _, err := Elements([]byte(in), "tools"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}
