package wire

import (
	"io"
	"strings"
	"testing"
)

const smallCall = `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"weather_get_forecast","arguments":{"city":"Bern","days":3}}}`

const modernCall = `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"weather_get_forecast","arguments":{"city":"Bern","days":3},"_meta":{"progressToken":"p-1","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"ExampleClient","version":"1.0.0"},"io.modelcontextprotocol/clientCapabilities":{}}}}`

func BenchmarkScanSmall(b *testing.B)  { benchScan(b, smallCall) }
func BenchmarkScanModern(b *testing.B) { benchScan(b, modernCall) }
func BenchmarkScanText1MiB(b *testing.B) {
	benchScan(b, `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"echo","arguments":{"text":"`+
		strings.Repeat("lorem ipsum dolor sit amet, ", 1<<20/28)+`"}}}`)
}

func benchScan(b *testing.B, doc string) {
	body := []byte(doc)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(body); err != nil {
			b.Fatal(err)
		}
	}
}

// answer1MiB returns a response with one long text, with an escape every so
// many bytes; 0 is none.
func answer1MiB(escapeEvery int) string {
	text := strings.Repeat("lorem ipsum dolor sit amet, ", 1<<20/28)
	if escapeEvery > 0 {
		text = strings.Repeat(strings.Repeat("x", escapeEvery-2)+`\n`, 1<<20/escapeEvery)
	}
	return `{"jsonrpc":"2.0","id":17,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`
}

var rewriteBench = RewriteOptions{ID: []byte(`"client-17"`), Members: ModernMembers(MethodToolsCall)}

func BenchmarkAnswerText1MiB(b *testing.B)    { benchAnswer(b, answer1MiB(0)) }
func BenchmarkAnswerEscapes1MiB(b *testing.B) { benchAnswer(b, answer1MiB(40)) }
func BenchmarkAnswerNumbers1MiB(b *testing.B) {
	benchAnswer(b, `{"jsonrpc":"2.0","id":17,"result":{"x":[`+strings.Repeat("12.5,{\"a\":null},", 1<<16)+`0]}}`)
}

func benchAnswer(b *testing.B, doc string) {
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewAnswerRewriter(strings.NewReader(doc), rewriteBench).WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRewriteSmallAnswer(b *testing.B) {
	doc := []byte(`{"jsonrpc":"2.0","id":17,"result":{"content":[{"type":"text","text":"sunny, 21 degrees"}]}}`)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := RewriteAnswer(buf, doc, rewriteBench); err != nil {
			b.Fatal(err)
		}
	}
}

// sink takes bytes as a socket does: by copying them.
type sink struct{ room [64 << 10]byte }

func (s *sink) Write(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(s.room[:], p[n:])
	}
	return n, nil
}

// BenchmarkCopy1MiB is what the stream benchmarks are compared with.
func BenchmarkCopy1MiB(b *testing.B) {
	in := event(answer1MiB(0))
	b.SetBytes(int64(len(in)))
	buf, out := make([]byte, chunkSize), new(sink)
	for b.Loop() {
		if _, err := io.CopyBuffer(out, struct{ io.Reader }{strings.NewReader(in)}, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamEvent1MiB(b *testing.B) { benchStream(b, event(answer1MiB(0)), rewriteBench) }
func BenchmarkStreamSame1MiB(b *testing.B) {
	benchStream(b, event(answer1MiB(0)), RewriteOptions{ID: []byte("17")})
}
func BenchmarkStreamProgress(b *testing.B) {
	benchStream(b, strings.Repeat(event(progress), 1000)+event(answered), rewriteBench)
}
func BenchmarkStreamSmall(b *testing.B) { benchStream(b, event(answered), rewriteBench) }

func benchStream(b *testing.B, in string, o RewriteOptions) {
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	out := new(sink)
	for b.Loop() {
		if _, err := NewStreamRewriter(strings.NewReader(in), StreamOptions{Rewrite: o}).WriteTo(out); err != nil {
			b.Fatal(err)
		}
	}
}
