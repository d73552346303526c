package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMetaEdits(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`
	set := []KV{{"a", []byte("1")}, {"b", []byte(`"x"`)}}
	for _, tc := range []struct {
		name, in string
		set      []KV
		drop     string
		want     string
	}{
		{"no params", `{"jsonrpc":"2.0","method":"ping" ,"id":1}`, set, "", `{"jsonrpc":"2.0","method":"ping","params":{"_meta":{"a":1,"b":"x"}} ,"id":1}`},
		{"null params", call + `null}`, set, "", call + `{"_meta":{"a":1,"b":"x"}}}`},
		{"empty params", call + `{ }}`, set, "", call + `{"_meta":{"a":1,"b":"x"} }}`},
		{"params", call + `{ "name":"n"}}`, set, "", call + `{"_meta":{"a":1,"b":"x"}, "name":"n"}}`},
		{"null _meta", call + `{"_meta":null,"name":"n"}}`, set, "", call + `{"_meta":{"a":1,"b":"x"},"name":"n"}}`},
		{"empty _meta", call + `{"_meta":{ }}}`, set, "", call + `{"_meta":{"a":1,"b":"x" }}}`},
		{"others there", call + `{"_meta":{ "c" : 3 }}}`, set, "", call + `{"_meta":{"a":1,"b":"x", "c" : 3 }}}`},
		{"replace the first", call + `{"_meta":{"a" : [2] , "c":3}}}`, set[:1], "", call + `{"_meta":{"a" : 1 , "c":3}}}`},
		{"replace the last, put in another", call + `{"_meta":{"c":3,"b":null}}}`, set, "", call + `{"_meta":{"a":1,"c":3,"b":"x"}}}`},
		{"replace by the same", call + `{"_meta":{"a":1}}}`, set[:1], "", call + `{"_meta":{"a":1}}}`},
		{"escaped name", call + `{"_meta":{"\u0061":2}}}`, set[:1], "", call + `{"_meta":{"\u0061":1}}}`},
		{"take out the only one", call + `{"_meta":{ "a" : 1 }}}`, []KV{{"a", nil}}, "", call + `{"_meta":{  }}}`},
		{"take out the first", call + `{"_meta":{ "a" : 1 , "c":3}}}`, []KV{{"a", nil}}, "", call + `{"_meta":{ "c":3}}}`},
		{"take out the middle", call + `{"_meta":{"c":3 , "a":1 , "d":4}}}`, []KV{{"a", nil}}, "", call + `{"_meta":{"c":3 , "d":4}}}`},
		{"take out the last", call + `{"_meta":{"c":3 , "a":1 }}}`, []KV{{"a", nil}}, "", call + `{"_meta":{"c":3 }}}`},
		{"take out all, put in one", call + `{"_meta":{"x/1":1,"x/2":2}}}`, set[:1], "x/", call + `{"_meta":{"a":1}}}`},
		{"take out around survivors", call + `{"_meta":{"x/1":1,"x/2":2,"c":3,"x/3":3,"x/4":4,"d":4,"x/5":5}}}`, nil, "x/", call + `{"_meta":{"c":3,"d":4}}}`},
		{"a set member survives its prefix", call + `{"_meta":{"x/1":1,"x/2":2}}}`, []KV{{"x/2", []byte("5")}}, "x/", call + `{"_meta":{"x/2":5}}}`},
		{"nothing to take out", call + `{"name":"n"}}`, []KV{{"a", nil}}, "x/", call + `{"name":"n"}}`},
		{"nothing to do with null", call + `{"_meta":null}}`, []KV{{"a", nil}}, "x/", call + `{"_meta":null}}`},
		{"only _meta of params", call + `{"arguments":{"_meta":{"a":2}}}}`, set[:1], "", call + `{"_meta":{"a":1},"arguments":{"_meta":{"a":2}}}}`},
		{"to an elder server", modernCall, WithoutRequestMeta(), "",
			strings.Replace(modernCall, modernCall[strings.Index(modernCall, `,"io.model`):], `}}}`, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := Scan([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			got := Splice(nil, []byte(tc.in), MetaEdits(nil, []byte(tc.in), &e, tc.set, tc.drop)...)
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if _, err := Scan(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMetaEditsLeavesWhatIsRightAlone(t *testing.T) {
	in := []byte(`{"jsonrpc":"2.0","method":"x","params":{"_meta":{"a":1,"b":{}}}}`)
	e, _ := Scan(in)
	if edits := MetaEdits(nil, in, &e, []KV{{"a", []byte("1")}, {"b", []byte("{}")}, {"c", nil}}, "x/"); edits != nil {
		t.Errorf("edits %v", edits)
	}
}

func TestRequestMetaMakesARequestModern(t *testing.T) {
	in := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	e, _ := Scan(in)
	meta := RequestMeta{Revision: Rev20260728, ClientInfo: []byte(`{"name":"n","version":"1"}`), LogLevel: "info"}
	out := Splice(nil, in, MetaEdits(nil, in, &e, meta.KVs(), "")...)
	e, err := Scan(out)
	if err != nil || e.Revision(out) != Rev20260728 {
		t.Fatalf("%s: %v", out, err)
	}
	want := map[string]string{"clientInfo": `{"name":"n","version":"1"}`, "clientCapabilities": "{}", "logLevel": `"info"`}
	for k, v := range want {
		if got := parts(out, e)[k]; got != v {
			t.Errorf("%s is %s, want %s", k, got, v)
		}
	}
	back := Splice(nil, out, MetaEdits(nil, out, &e, WithoutRequestMeta(), "")...)
	if want := `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{}}}`; string(back) != want {
		t.Errorf("back: %s", back)
	}
	if kvs := (RequestMeta{}).KVs(); kvs != nil {
		t.Errorf("without a revision: %v", kvs)
	}
}

func TestReservedMeta(t *testing.T) {
	for key, want := range map[string]bool{
		MetaProtocolVersion: true, "dev.mcp/x": true, "org.modelcontextprotocol.api/x": true, "com.mcp.tools/": true,
		"com.example.mcp/x": false, "mcp/x": false, "progressToken": false, "traceparent": false, "x.mcp": false,
	} {
		if ReservedMeta(key) != want {
			t.Errorf("%s: %v", key, !want)
		}
	}
}

func TestSplice(t *testing.T) {
	b := []byte("0123456789")
	for _, tc := range []struct {
		edits []Edit
		want  string
	}{
		{nil, "0123456789"},
		{[]Edit{{Span{0, 10}, nil}}, ""},
		{[]Edit{{Span{8, 9}, []byte("B")}, {Span{2, 4}, []byte("aaa")}}, "01aaa4567B9"},
		{[]Edit{{Span{3, 5}, []byte("c")}, {Span{3, 3}, []byte("a")}, {Span{3, 3}, []byte("b")}}, "012abc56789"},
		{[]Edit{{Span{10, 10}, []byte("!")}, {Span{0, 0}, []byte("<")}}, "<0123456789!"},
	} {
		if got := string(Splice([]byte("~"), b, tc.edits...)); got != "~"+tc.want {
			t.Errorf("%v: %s", tc.edits, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("overlapping edits went through")
		}
	}()
	Splice(nil, b, Edit{Span: Span{1, 4}}, Edit{Span: Span{3, 5}})
}

// The edit has to do what decoding, changing and encoding would do, and leave
// every byte alone that it has no business with.
func TestMetaEditsIsTheSemanticEdit(t *testing.T) {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	name := rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061b"`, `"x/1"`, `"x/2"`, `"\u0078/3"`, `"c"`, `""`, `"progressToken"`})
	value := rapid.SampledFrom([]string{`1`, `"s"`, `null`, `{}`, `{"a": [1 , 2]}`, `[]`, `"}\",{"`, `-1.50e+3`})
	object := func(t *rapid.T, label string) string {
		var b strings.Builder
		b.WriteString("{" + space.Draw(t, label))
		seen := map[string]bool{}
		for i := range rapid.IntRange(0, 5).Draw(t, label+" members") {
			n := name.Draw(t, label)
			var text string
			_ = json.Unmarshal([]byte(n), &text)
			if seen[text] {
				continue
			}
			if len(seen) > 0 {
				b.WriteString("," + space.Draw(t, label))
			}
			seen[text] = true
			fmt.Fprintf(&b, "%s%s:%s%s%s", n, space.Draw(t, label), space.Draw(t, label), value.Draw(t, fmt.Sprint(label, i)), space.Draw(t, label))
		}
		return b.String() + "}"
	}
	rapid.Check(t, func(t *rapid.T) {
		before, after := "", ""
		switch rapid.IntRange(0, 4).Draw(t, "shape") {
		case 0:
		case 1:
			before, after = `,"params":`, "null"
		case 2:
			before, after = `,"params":`, `{ "name" : "n" }`
		case 3:
			before, after = `,"params":{"name":"n", "_meta":`, "null ,\"z\":1}"
		case 4:
			before, after = `,"params":{"name":"n", "_meta":`, object(t, "meta")+` , "z":1 }`
		}
		in := []byte(`{"jsonrpc":"2.0", "id":1,"method":"x"` + before + after + ` ,"other": [ 1 ]}`)
		var set []KV
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "ab", "x/1", "x/2", "d", "progressToken"}), 0, 4, rapid.ID[string]).Draw(t, "set") {
			kv := KV{Key: k}
			if rapid.Bool().Draw(t, "put "+k) {
				kv.Value = []byte(value.Draw(t, "value of "+k))
			}
			set = append(set, kv)
		}
		drop := rapid.SampledFrom([]string{"", "x/", "a"}).Draw(t, "drop")
		checkMetaEdits(t, in, set, drop)
	})
}

// checkMetaEdits compares MetaEdits with the edit of a decoded document.
func checkMetaEdits(t interface {
	Helper()
	Fatalf(string, ...any)
}, in []byte, set []KV, drop string) {
	t.Helper()
	e, err := Scan(in)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	edits := MetaEdits(nil, in, &e, set, drop)
	out := Splice(nil, in, edits...)

	split := func(doc []byte) (top, params, meta map[string]json.RawMessage) {
		t.Helper()
		if err := json.Unmarshal(doc, &top); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if p := top["params"]; len(p) > 0 {
			_ = json.Unmarshal(p, &params)
		}
		if m := params["_meta"]; len(m) > 0 {
			_ = json.Unmarshal(m, &meta)
		}
		return top, params, meta
	}
	top, params, meta := split(in)
	want := map[string]json.RawMessage{}
	for k, v := range meta {
		if drop == "" || !strings.HasPrefix(k, drop) {
			want[k] = v
		}
	}
	for _, kv := range set {
		if delete(want, kv.Key); kv.Value != nil {
			want[kv.Key] = kv.Value
		}
	}
	gotTop, gotParams, gotMeta := split(out)
	if len(want)+len(gotMeta) > 0 {
		if diff := cmp.Diff(want, gotMeta); diff != "" {
			t.Fatalf("%s\nbecame %s\nset %s, drop %q: %s", in, out, set, drop, diff)
		}
	}
	for _, pair := range [][2]map[string]json.RawMessage{{top, gotTop}, {params, gotParams}} {
		for k, v := range pair[0] {
			if k != "params" && k != "_meta" && !bytes.Equal(v, pair[1][k]) {
				t.Fatalf("%s\nbecame %s: %s changed", in, out, k)
			}
		}
	}
	region := Span{e.MethodAt.End, e.MethodAt.End}
	switch {
	case e.Meta.Present():
		region = e.Meta
	case e.Params.Present():
		region = e.Params
	}
	if !bytes.HasPrefix(out, in[:region.Start]) || !bytes.HasSuffix(out, in[region.End:]) {
		t.Fatalf("%s\nbecame %s: changed outside of %v", in, out, region)
	}
}
