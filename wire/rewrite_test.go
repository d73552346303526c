package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

var modernList = RewriteOptions{ID: []byte(`"c-1"`), Members: ModernMembers(MethodToolsList)}

// rewriteCases are documents and what becomes of them under modernList.
var rewriteCases = []struct{ name, doc, want string }{
	{"id and members", `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`,
		`{"jsonrpc":"2.0","id":"c-1","result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"empty result", `{"jsonrpc":"2.0","id":7,"result":{}}`,
		`{"jsonrpc":"2.0","id":"c-1","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"empty result with white space", `{"jsonrpc":"2.0","id":7,"result":{ }}`,
		`{"jsonrpc":"2.0","id":"c-1","result":{ "resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"some members there", `{"result":{"ttlMs":5,"tools":[{"ttlMs":1,"cacheScope":"x"}]},"id":7,"jsonrpc":"2.0"}`,
		`{"result":{"ttlMs":5,"tools":[{"ttlMs":1,"cacheScope":"x"}],"resultType":"complete","cacheScope":"private"},"id":"c-1","jsonrpc":"2.0"}`},
	{"a member there, escaped", `{"id":7,"result":{"\u0074tlMs":5,"resultType":"complete","cacheScope":null}}`,
		`{"id":"c-1","result":{"\u0074tlMs":5,"resultType":"complete","cacheScope":null}}`},
	{"all there", `{"id":"c-1","result":{"ttlMs":5,"resultType":"complete","cacheScope":"public"}}`,
		`{"id":"c-1","result":{"ttlMs":5,"resultType":"complete","cacheScope":"public"}}`},
	{"id in escapes and inside", `{"\u0069d":7,"result":{"id":8,"result":{"id":9},"tools":[{"id":1}]}}`,
		`{"\u0069d":"c-1","result":{"id":8,"result":{"id":9},"tools":[{"id":1}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"id is a number at the end", `{"result":[1],"id":-12}`, `{"result":[1],"id":"c-1"}`},
	{"id is a long string", `{"id":"` + strings.Repeat(`\u00e9x`, 40) + `","result":1}`, `{"id":"c-1","result":1}`},
	{"error", `{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no","data":{"id":7}}}`,
		`{"jsonrpc":"2.0","id":"c-1","error":{"code":-32601,"message":"no","data":{"id":7}}}`},
	{"null id", `{"error":{"code":1,"message":""},"id":null}`, `{"error":{"code":1,"message":""},"id":"c-1"}`},
	{"no id", `{"error":{"code":1,"message":""} }`, `{"error":{"code":1,"message":""} ,"id":"c-1"}`},
	{"result is null", `{"id":7,"result":null}`, `{"id":"c-1","result":null}`},
	{"numbers keep their spelling", `{"id":1E5,"result":{"a":[-0,0.10,1e+2,12345678901234567890,-1.5E-3]}}`,
		`{"id":"c-1","result":{"a":[-0,0.10,1e+2,12345678901234567890,-1.5E-3],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"white space everywhere", "\n{ \"id\" : 7 ,\t\"result\" : { \"a\" : [ ] , \"b\" : { } } }\r\n ",
		"\n{ \"id\" : \"c-1\" ,\t\"result\" : { \"a\" : [ ] , \"b\" : { } ,\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"} }\r\n "},
	{"long names", `{"id":7,"result":{"` + strings.Repeat("n", 300) + `":1,"` + strings.Repeat(`\u006e`, 90) + `":2}}`,
		`{"id":"c-1","result":{"` + strings.Repeat("n", 300) + `":1,"` + strings.Repeat(`\u006e`, 90) + `":2,"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`},
	{"members of other objects", `{"_x":{"ttlMs":1},"id":7,"result":{},"y":{"resultType":1}}`,
		`{"_x":{"ttlMs":1},"id":"c-1","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private"},"y":{"resultType":1}}`},
	{"unknown members", `{"_x":{"id":1},"id":7,"result":{"x":"\"}{,"},"later":[{}]}`,
		`{"_x":{"id":1},"id":"c-1","result":{"x":"\"}{,","resultType":"complete","ttlMs":0,"cacheScope":"private"},"later":[{}]}`},
}

func TestRewriteAnswer(t *testing.T) {
	for _, tc := range rewriteCases {
		t.Run(tc.name, func(t *testing.T) {
			got, err := RewriteAnswer([]byte("before "), []byte(tc.doc), modernList)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before "+tc.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if want := reference(t, []byte(tc.doc), modernList); string(want) != tc.want {
				t.Errorf("the reference makes %s", want)
			}
		})
	}
}

// sources are ways to deliver a document.
func sources(doc string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":       strings.NewReader(doc),
		"by the byte": iotest.OneByteReader(strings.NewReader(doc)),
		"by halves":   iotest.HalfReader(strings.NewReader(doc)),
		"end at once": iotest.DataErrReader(strings.NewReader(doc)),
	}
}

func TestAnswerRewriterAtAnyBoundary(t *testing.T) {
	for _, tc := range rewriteCases {
		for how, r := range sources(tc.doc) {
			a := NewAnswerRewriter(r, modernList)
			got, err := io.ReadAll(a)
			if err != nil || string(got) != tc.want {
				t.Errorf("%s, %s: %v\n got %s\nwant %s", tc.name, how, err, got, tc.want)
			}
			if !a.Complete() {
				t.Errorf("%s, %s: not complete", tc.name, how)
			}
		}
		for how, r := range sources(tc.doc) {
			var got bytes.Buffer
			n, err := NewAnswerRewriter(r, modernList).WriteTo(&got)
			if err != nil || got.String() != tc.want || n != int64(got.Len()) {
				t.Errorf("%s, %s, WriteTo: %d, %v\n got %s\nwant %s", tc.name, how, n, err, got.String(), tc.want)
			}
		}
	}
}

func TestIdentityChangesNothingButChecks(t *testing.T) {
	for _, tc := range rewriteCases {
		got, err := RewriteAnswer(nil, []byte(tc.doc), RewriteOptions{})
		if err != nil || string(got) != tc.doc {
			t.Errorf("%s: %v\n%s", tc.name, err, got)
		}
		got, err = io.ReadAll(NewAnswerRewriter(iotest.HalfReader(strings.NewReader(tc.doc)), RewriteOptions{}))
		if err != nil || string(got) != tc.doc {
			t.Errorf("%s, streamed: %v\n%s", tc.name, err, got)
		}
		for n := range len(tc.doc) {
			if strings.TrimSpace(tc.doc[n:]) == "" {
				break
			}
			if _, err := RewriteAnswer(nil, []byte(tc.doc[:n]), RewriteOptions{}); !errors.Is(err, ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s, cut at %d: %v", tc.name, n, err)
			}
			got, err := io.ReadAll(NewAnswerRewriter(strings.NewReader(tc.doc[:n]), RewriteOptions{}))
			if !errors.Is(err, ErrTruncated) || string(got) != tc.doc[:n] {
				t.Fatalf("%s, streamed, cut at %d: %v, %s", tc.name, n, err, got)
			}
		}
	}
}

func TestRightIDsAreNotRewritten(t *testing.T) {
	s := answerScan{cursor: cursor{b: []byte(`{"id":"c-1","result":{}}`)}}
	s.run()
	if edits := s.edits(nil, RewriteOptions{ID: []byte(`"c-1"`)}); edits != nil {
		t.Errorf("edits %v", edits)
	}
}

func TestRewriteRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, doc string
		want      error
	}{
		{"empty", ``, ErrTruncated},
		{"HTML", `<html></html>`, ErrInvalid},
		{"a batch", `[{"id":1,"result":{}}]`, ErrInvalid},
		{"a string", `"ok"`, ErrInvalid},
		{"a request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, ErrInvalid},
		{"a request with a result", `{"jsonrpc":"2.0","id":1,"result":{},"method":"ping"}`, ErrInvalid},
		{"no response", `{"status":"ok"}`, ErrInvalid},
		{"empty object", `{}`, ErrInvalid},
		{"an error of another protocol", `{"error":"invalid_token","error_description":"expired"}`, ErrInvalid},
		{"only a null error", `{"id":1,"error":null}`, ErrInvalid},
		{"id is an object", `{"id":{},"result":{}}`, ErrInvalid},
		{"id is true", `{"id":true,"result":{}}`, ErrInvalid},
		{"second id", `{"id":1,"id":2,"result":{}}`, ErrInvalid},
		{"second result", `{"id":1,"result":{},"result":{}}`, ErrInvalid},
		{"second error", `{"id":1,"error":null,"error":{}}`, ErrInvalid},
		{"trailing data", `{"id":1,"result":{}} {}`, ErrInvalid},
		{"leading zero", `{"id":1,"result":01}`, ErrInvalid},
		{"bare minus", `{"id":1,"result":-}`, ErrInvalid},
		{"minus letter", `{"id":1,"result":-a}`, ErrInvalid},
		{"empty fraction", `{"id":1,"result":[1.]}`, ErrInvalid},
		{"empty exponent", `{"id":1,"result":[1e]}`, ErrInvalid},
		{"signed exponent", `{"id":1,"result":[1e-]}`, ErrInvalid},
		{"two dots", `{"id":1,"result":[1.2.3]}`, ErrInvalid},
		{"misspelt literal", `{"id":1,"result":[trux]}`, ErrInvalid},
		{"unknown escape", `{"id":1,"result":"\x"}`, ErrInvalid},
		{"broken unicode escape", `{"id":1,"result":"\u00gg"}`, ErrInvalid},
		{"broken escape in a name", `{"id":1,"result":{"a\x":1}}`, ErrInvalid},
		{"control character", "{\"id\":1,\"result\":\"a\tb\"}", ErrInvalid},
		{"trailing comma", `{"id":1,"result":{},}`, ErrInvalid},
		{"trailing comma in an array", `{"id":1,"result":[1,]}`, ErrInvalid},
		{"no comma", `{"id":1 "result":{}}`, ErrInvalid},
		{"no colon", `{"id" 1,"result":{}}`, ErrInvalid},
		{"wrong bracket", `{"id":1,"result":{]}`, ErrInvalid},
		{"number as a name", `{1:2}`, ErrInvalid},
		{"too deep", `{"id":1,"result":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, ErrInvalid},
	} {
		if out, err := RewriteAnswer([]byte("x"), []byte(tc.doc), modernList); !errors.Is(err, tc.want) || string(out) != "x" {
			t.Errorf("%s: %v, %s", tc.name, err, out)
		}
		for how, r := range sources(tc.doc) {
			if _, err := io.ReadAll(NewAnswerRewriter(r, modernList)); !errors.Is(err, tc.want) {
				t.Errorf("%s, %s: %v", tc.name, how, err)
			}
			if _, err := NewAnswerRewriter(strings.NewReader(tc.doc), modernList).WriteTo(io.Discard); !errors.Is(err, tc.want) {
				t.Errorf("%s, WriteTo: %v", tc.name, err)
			}
		}
	}
	deepest := `{"id":1,"result":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}`
	if _, err := RewriteAnswer(nil, []byte(deepest), modernList); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(NewAnswerRewriter(strings.NewReader(deepest), modernList)); err != nil {
		t.Error(err)
	}
}

func TestAnswerRewriterPassesTheSourcesError(t *testing.T) {
	reset := errors.New("reset")
	const doc = `{"id":1,"result":{}}`
	for _, tc := range []struct {
		sent string
		end  error
		want error
	}{
		{doc[:9], reset, reset},
		{doc[:9], io.ErrUnexpectedEOF, ErrTruncated},
		{"", reset, reset},
		{doc, reset, nil},
		{doc, io.ErrUnexpectedEOF, nil},
	} {
		r := io.MultiReader(strings.NewReader(tc.sent), iotest.ErrReader(tc.end))
		got, err := io.ReadAll(NewAnswerRewriter(r, RewriteOptions{}))
		if !errors.Is(err, tc.want) || string(got) != tc.sent {
			t.Errorf("%q then %v: %q, %v", tc.sent, tc.end, got, err)
		}
	}
}

func TestAnswerRewriterTellsErrorsFromResults(t *testing.T) {
	for doc, want := range map[string]bool{
		`{"id":1,"result":{"error":{}}}`:                 false,
		`{"id":1,"result":{},"error":null}`:              false,
		`{"id":1,"error":{"code":1,"message":"result"}}`: true,
	} {
		a := NewAnswerRewriter(strings.NewReader(doc), RewriteOptions{})
		if _, err := io.Copy(io.Discard, a); err != nil || a.IsError() != want {
			t.Errorf("%s: %v, %v", doc, a.IsError(), err)
		}
	}
}

func TestAnswerRewriterMemoryIsBounded(t *testing.T) {
	doc := `{"id":1,"result":{"a":"` + strings.Repeat("x", 1<<20) + `","` + strings.Repeat("k", 1<<20) + `":[` + strings.Repeat("1,", 1<<19) + `2]}}`
	a := NewAnswerRewriter(strings.NewReader(doc), modernList)
	if _, err := io.Copy(io.Discard, a); err != nil {
		t.Fatal(err)
	}
	if n := cap(a.room) + cap(a.f.key); n > 2*chunkSize {
		t.Errorf("holds %d bytes after a document of %d", n, len(doc))
	}
}

// reference does what RewriteAnswer does, with the tokens of encoding/json.
func reference(t testing.TB, doc []byte, o RewriteOptions) []byte {
	t.Helper()
	var edits []Edit
	var top, result map[string]json.RawMessage
	if err := json.Unmarshal(doc, &top); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(top["result"], &result)
	dec := json.NewDecoder(bytes.NewReader(doc))
	token := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	at := func() int { return int(dec.InputOffset()) }
	token()
	for dec.More() {
		key := token()
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		switch {
		case key == "id" && o.ID != nil:
			edits = append(edits, Edit{Span{at() - len(value), at()}, o.ID})
		case key == "result" && result != nil:
			in, comma := []byte(nil), len(result) > 0
			for _, kv := range o.Members {
				if _, ok := result[kv.Key]; !ok {
					if comma {
						in = append(in, ',')
					}
					comma = true
					in = append(append(append(append(in, '"'), kv.Key...), '"', ':'), kv.Value...)
				}
			}
			edits = append(edits, Edit{Span{at() - 1, at() - 1}, in})
		}
	}
	token()
	if _, ok := top["id"]; !ok && o.ID != nil {
		edits = append(edits, Edit{Span{at() - 1, at() - 1}, append([]byte(`,"id":`), o.ID...)})
	}
	return Splice(nil, doc, edits...)
}

// chunked delivers b in chunks of random sizes.
type chunked struct {
	b   []byte
	rnd *rand.Rand
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := min(1+c.rnd.IntN(7), len(p), len(c.b))
	if c.rnd.IntN(4) == 0 {
		n = min(1+c.rnd.IntN(60), len(p), len(c.b))
	}
	copy(p, c.b[:n])
	c.b = c.b[n:]
	return n, nil
}
