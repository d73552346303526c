package wire

import (
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
