package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// seeds adds what stands in the conversations, with these endings.
func seeds(f *testing.F, add func([]byte), endings ...string) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range txtar.Parse(data).Files {
			for _, e := range endings {
				if filepath.Ext(part.Name) == e {
					add(part.Data)
				}
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) }, ".request", ".json")
	for _, s := range []string{smallCall, modernCall, `{"a":"\u00`, `{"jsonrpc":"2.0","id":-0,"method":"\ud83d"}`, "[1e5,-0.0E-0]", "{\"\":\"\x00\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := Scan(doc)
		var se *ScanError
		errors.As(err, &se)
		valid := json.Valid(doc)
		switch {
		case !valid && (se == nil || se.Code != ParseError) && depthOf(doc) <= maxDepth:
			t.Fatalf("not JSON, but %v", err)
		case valid && se != nil && se.Code == ParseError:
			t.Fatalf("JSON, but %v", err)
		case se != nil && (se.Offset < 0 || se.Offset > len(doc)):
			t.Fatalf("offset %d of %d", se.Offset, len(doc))
		}
		if err != nil || e.Kind == Batch || !utf8.Valid(doc) {
			return
		}
		checkEnvelope(t, doc, e)
	})
}

func FuzzAnswerRewriter(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, uint64(1)) }, ".json")
	for i, tc := range rewriteCases {
		f.Add([]byte(tc.doc), uint64(i))
	}
	for _, s := range []string{`{"id":tru`, `{"result":[[1,2],{"a":"\u0041"}],"id":0}`, `{"result":{"\u0074tlMs":1},"\u0069d":1.5e3}`, `{"id":1,"result":{"a":[[[[[[1.5,{"b":[true`} {
		f.Add([]byte(s), uint64(7))
	}
	f.Fuzz(func(t *testing.T, doc []byte, seed uint64) {
		for _, o := range []RewriteOptions{modernList, {}} {
			want, wantErr := RewriteAnswer(nil, doc, o)
			source := &chunked{doc, rand.New(rand.NewPCG(seed, 0))}
			got, err := io.ReadAll(NewAnswerRewriter(source, o))
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("streamed %v, at once %v", err, wantErr)
			}
			if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTruncated) {
				t.Fatal(err)
			}
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("streamed %s\nat once  %s", got, want)
			}
			if (wantErr == nil) != soundResponse(doc) && depthOf(doc) <= maxDepth {
				t.Fatalf("error %v for %q", wantErr, doc)
			}
			if wantErr == nil && utf8.Valid(doc) {
				if ref := reference(t, doc, o); !bytes.Equal(ref, want) {
					t.Fatalf("got  %s\nwant %s", want, ref)
				}
			}
		}
	})
}

func FuzzEvents(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, uint64(1)) }, ".sse")
	for i, s := range []string{"data: a\r\ndata:b\r\r: c\n\nid: 1\nevent: x\nretry: 7\ndata\n\n", "\xEF\xBB\xBFdata: x\n\n", "data: x\r", "id: a\x00\ndata: 1\n\ndata: 2\n\n", "\r\n\r\n\n\r"} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		want, cut := naiveEvents(string(in))
		got, err := readEvents(&chunked{in, rand.New(rand.NewPCG(seed, 0))}, 0)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if cut != errors.Is(err, ErrTruncated) {
			t.Fatalf("cut %v, but %v", cut, err)
		}
		var out []byte
		for _, ev := range got {
			out = AppendEvent(out, ev)
		}
		again, err := readEvents(bytes.NewReader(out), 0)
		if !errors.Is(err, io.EOF) || len(again) != len(got) {
			t.Fatalf("%d events became %d, %v", len(got), len(again), err)
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, again[i].Data) || got[i].Type != again[i].Type {
				t.Fatalf("%+v became %+v", got[i], again[i])
			}
		}
	})
}

func FuzzStream(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, uint64(1), false) }, ".sse")
	f.Add([]byte(event(progress)+event(answered)+event(answered)+event(sampling)), uint64(2), true)
	f.Add([]byte("id: 1\rdata: {\rdata:}\r\rdata: {\"id\":1,\rdata:\"result\":{}}\r\r"), uint64(3), true)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, dropIDs bool) {
		for _, o := range []StreamOptions{
			{Standing: true},
			{Rewrite: modernCallAnswer, DropIDs: dropIDs},
			{Rewrite: modernCallAnswer, DropIDs: dropIDs, Each: func(e *Envelope, _ []byte) (Action, []byte) {
				return Action(len(e.Method) % 3), []byte("{}\r\n")
			}},
		} {
			want, wantErr := io.ReadAll(NewStreamRewriter(bytes.NewReader(in), o))
			got, err := io.ReadAll(NewStreamRewriter(&chunked{in, rand.New(rand.NewPCG(seed, 0))}, o))
			if wantErr != nil {
				// Of a CR LF that a chunk parts, the LF goes on with what follows it: never, where
				// that is cut off.
				got, want = bytes.TrimSuffix(got, []byte("\n")), bytes.TrimSuffix(want, []byte("\n"))
			}
			if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
				t.Fatalf("in chunks %q, %v\nat once   %q, %v", got, err, want, wantErr)
			}
			if o.Standing && !isSubsequence(want, in) {
				t.Fatalf("%q became %q", in, want)
			}
		}
	})
}

// isSubsequence reports whether the events of out are among those of in, in
// order.
func isSubsequence(out, in []byte) bool {
	left, _ := naiveEvents(string(in))
	passed, _ := naiveEvents(string(out))
	for _, ev := range passed {
		for len(left) > 0 && (!bytes.Equal(left[0].Data, ev.Data) || left[0].Type != ev.Type) {
			left = left[1:]
		}
		if len(left) == 0 {
			return false
		}
		left = left[1:]
	}
	return true
}

func FuzzMetaEdits(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, "progressToken", `{"a":1}`, MetaPrefix) }, ".request")
	f.Add([]byte(`{"jsonrpc":"2.0","method":"x","params":{"_meta":{"a" : 1 , "a":2,"b":3 }}}`), "a", "", "b")
	f.Fuzz(func(t *testing.T, doc []byte, key, value, drop string) {
		e, err := Scan(doc)
		if err != nil || e.Kind != Request && e.Kind != Notification || !utf8.Valid(doc) || !utf8.ValidString(key) || !utf8.ValidString(drop) {
			return
		}
		set := []KV{{Key: key}, {Key: key + "'s neighbour", Value: []byte("[0]")}}
		if json.Valid([]byte(value)) && strings.TrimSpace(value) == value {
			set[0].Value = []byte(value)
		}
		checkMetaEdits(t, doc, set, drop)
	})
}

func FuzzHeaderValue(f *testing.F) {
	for _, s := range []string{"us-west1", "Hello, 世界", " padded ", "line1\nline2", "=?base64?literal?=", "=?base64?=", "\xff", "\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := EncodeHeaderValue(s)
		if !plainHeader(v) {
			t.Fatalf("%q cannot stand in a header", v)
		}
		if back, err := DecodeHeaderValue(v); utf8.ValidString(s) && (err != nil || back != s) {
			t.Fatalf("%q became %q, %v", s, back, err)
		}
		if plain, err := DecodeHeaderValue(s); err == nil {
			if again, err := DecodeHeaderValue(EncodeHeaderValue(plain)); err != nil || again != plain {
				t.Fatalf("%q became %q, %v", plain, again, err)
			}
		}
	})
}

func FuzzParamHeaders(f *testing.F) {
	for _, s := range []string{
		`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"properties":{"i":{"type":["integer","null"],"x-mcp-header":"I"}}}}}`,
		`{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"X"}}}]}`, `{"x-mcp-header":"X"}`, `[]`, `{"properties":{"":{"type":"boolean","x-mcp-header":"!"}}}`,
	} {
		f.Add([]byte(s), []byte(`{"region":"é","n":{"i":4.20e1},"":true}`))
	}
	f.Fuzz(func(t *testing.T, schema, args []byte) {
		if !json.Valid(schema) || !json.Valid(args) || !utf8.Valid(schema) || !utf8.Valid(args) {
			return
		}
		headers, err := ParamHeaders(schema)
		if err != nil && (headers != nil || !errors.Is(err, ErrParamHeader)) {
			t.Fatal(headers, err)
		}
		var node any
		_ = json.Unmarshal(schema, &node)
		if depthOf(schema) < maxSchemaDepth/2 && !repeats(schema) {
			n, sound := countAnnotations(node, true, false)
			if sound != (err == nil) && !strings.Contains(fmt.Sprint(err), " a second ") || sound && n != len(headers) {
				t.Fatalf("found %d, %v, want %d, sound %v in %s", len(headers), err, n, sound, schema)
			}
		}
		for _, v := range HeaderValues(args, headers) {
			if !validToken(v.Name) || !plainHeader(v.Value) || !v.Matches(v.Value) {
				t.Fatalf("%+v", v)
			}
		}
		for _, h := range headers {
			checkPath(t, schema, args, h)
		}
	})
}

func FuzzElements(f *testing.F) {
	seeds(f, func(b []byte) {
		if a, err := ScanAnswer(b); err == nil && a.Result.Present() {
			f.Add(a.Result.Of(b))
		}
	}, ".json")
	f.Add([]byte(`{"tools":[{"name":"a"},null,[],{"n\u0061me":"\ud83d","name":"b"}],"nextCursor":"c"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, cursor, err := Elements(doc, "tools")
		if !utf8.Valid(doc) || depthOf(doc) > maxDepth {
			return
		}
		var top map[string]json.RawMessage
		var list []json.RawMessage
		sound := json.Unmarshal(doc, &top) == nil && top["tools"] != nil && json.Unmarshal(top["tools"], &list) == nil
		if sound != (err == nil) {
			t.Fatalf("%v for %q", err, doc)
		}
		if !sound {
			return
		}
		var next string
		_ = json.Unmarshal(top["nextCursor"], &next)
		if cursor != next || len(got) != len(list) {
			t.Fatalf("%d elements and %q, want %d and %q", len(got), cursor, len(list), next)
		}
		for i, raw := range list {
			if !bytes.Equal(got[i].Raw, raw) {
				t.Fatalf("element %d is %s, want %s", i, got[i].Raw, raw)
			}
			if name, ok := Unquote(got[i].NameAt.Of(raw)); ok && name != got[i].Name {
				t.Fatalf("name of %s at %v", raw, got[i].NameAt)
			}
		}
	})
}
