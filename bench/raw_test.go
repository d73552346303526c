package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The generator and the backend speak just enough HTTP/1.1 by hand, so that
// nearly all work of a round is the work of the proxy in the middle.

const big = 1 << 20

var (
	smallAnswer = []byte(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"ok"}],"isError":false}}`)
	bigAnswer   = []byte(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"` +
		strings.Repeat("x", big) + `"}],"isError":false}}`)
)

// serveBackend is a stateless server with the tools echo, big and stream.
func serveBackend() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	announce(l)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go backendConn(c)
	}
}

func backendConn(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 16<<10)
	body := make([]byte, 0, 4096)
	for {
		n, _, err := readHead(r)
		if err != nil {
			return
		}
		body = append(body[:0], make([]byte, n)...)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if _, err := c.Write(answer(body)); err != nil {
			return
		}
	}
}

var (
	smallResponse  = response("200 OK", "application/json", smallAnswer)
	bigResponse    = response("200 OK", "application/json", bigAnswer)
	streamResponse = response("200 OK", "text/event-stream", fmt.Appendf(nil, "event: message\ndata: %s\n\n", bigAnswer))
)

func answer(body []byte) []byte {
	has := func(s string) bool { return bytes.Contains(body, []byte(s)) }
	switch {
	case has(`"tools/call"`) && has(`"big"`):
		return bigResponse
	case has(`"tools/call"`) && has(`"stream"`):
		return streamResponse
	case has(`"tools/call"`):
		return smallResponse
	}
	id := []byte("1")
	if _, rest, ok := bytes.Cut(body, []byte(`"id":`)); ok {
		id = rest[:bytes.IndexAny(rest, ",}")]
	}
	var result string
	switch {
	case has(`"server/discover"`):
		result = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public"}`
	case has(`"tools/list"`):
		tool := `{"name":"%s","inputSchema":{"type":"object"}}`
		result = fmt.Sprintf(`{"resultType":"complete","ttlMs":0,"cacheScope":"public","tools":[`+tool+","+tool+","+tool+"]}", "echo", "big", "stream")
	default:
		return response("404 Not Found", "application/json",
			fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"method not found"}}`, id))
	}
	return response("200 OK", "application/json", fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result))
}

func response(status, contentType string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", status, contentType, len(body)), body...)
}

// readHead reads a request's head and returns the length of its body and its
// credential.
func readHead(r *bufio.Reader) (length int, credential string, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		if len(line) <= 2 {
			return length, credential, nil
		}
		k, v, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(k, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return 0, "", err
			}
		case bytes.EqualFold(k, []byte("Authorization")):
			credential = strings.TrimPrefix(string(bytes.TrimSpace(v)), "Bearer ")
		}
	}
}

// call is the request every caller sends.
func call(addr, path, tool string) []byte {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{"text":"hello"},"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: %s\r\nContent-Length: %d\r\n\r\n%s", path, addr, tool, len(body), body)
}

// sample is the outcome of one round.
type sample struct {
	calls, bytes, truncated, failed int
	took                            time.Duration
}

func (s sample) rate() float64       { return float64(s.calls) / s.took.Seconds() }
func (s sample) throughput() float64 { return float64(s.bytes) / s.took.Seconds() }

// round sends request from n callers for d and wants every body to contain at
// least least bytes.
func round(addr string, request []byte, n int, d time.Duration, least int) sample {
	var mu sync.Mutex
	var total sample
	var wg sync.WaitGroup
	began := time.Now()
	for range n {
		wg.Go(func() {
			s := caller(addr, request, began.Add(d), least)
			mu.Lock()
			defer mu.Unlock()
			total.calls += s.calls
			total.bytes += s.bytes
			total.truncated += s.truncated
			total.failed += s.failed
		})
	}
	wg.Wait()
	total.took = time.Since(began)
	return total
}

func caller(addr string, request []byte, until time.Time, least int) (s sample) {
	var c net.Conn
	var r *bufio.Reader
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for time.Now().Before(until) {
		if c == nil {
			var err error
			if c, err = net.Dial("tcp", addr); err != nil {
				s.failed++
				return s
			}
			r = bufio.NewReaderSize(c, 64<<10)
		}
		n, err := exchange(c, r, request)
		switch {
		case err == nil && n >= least:
			s.calls++
			s.bytes += n
			continue
		case errors.Is(err, errStatus):
			s.failed++
		default:
			s.truncated++
		}
		_ = c.Close()
		c = nil
	}
	return s
}

var errStatus = errors.New("not a result")

// head is how much of an answer's body is looked at: where a result says so.
const head = 80

// exchange sends one request and reads its answer to the end. An answer that is
// no result is errStatus, as errors come with status 200.
func exchange(c net.Conn, r *bufio.Reader, request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return 0, errStatus
	}
	length, chunked := -1, false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		k, v, _ := bytes.Cut(line, []byte(":"))
		switch http.CanonicalHeaderKey(string(k)) {
		case "Content-Length":
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		case "Transfer-Encoding":
			chunked = true
		}
	}
	seen := head
	if !chunked {
		seen = min(head, length)
	}
	if start, err := r.Peek(seen); err != nil {
		return 0, err
	} else if !bytes.Contains(start, []byte(`"result":`)) {
		return 0, errStatus
	}
	if !chunked {
		return r.Discard(length)
	}
	total := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return total, err
		}
		if _, err := r.Discard(int(n) + 2); err != nil {
			return total, err
		}
		if n == 0 {
			return total, nil
		}
		total += int(n)
	}
}
