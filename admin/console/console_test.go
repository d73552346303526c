package console_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/admin/console"
)

func get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	for path, contentType := range map[string]string{
		"/":             "text/html; charset=utf-8",
		"/index.html":   "text/html; charset=utf-8",
		"/console.js":   "text/javascript; charset=utf-8",
		"/console.css":  "text/css; charset=utf-8",
		"/favicon.svg":  "image/svg+xml",
		"/licenses.txt": "text/plain; charset=utf-8",
	} {
		w := get(t, path)
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", path, w.Code, w.Body.Len())
		}
		for name, want := range map[string]string{
			"Content-Type":            contentType,
			"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		etag := w.Header().Get("ETag")
		if again := get(t, path, "If-None-Match", etag); etag == "" || again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s with its ETag %q: status %d, %d bytes", path, etag, again.Code, again.Body.Len())
		}
	}
}

func TestEverythingElseIsNotFound(t *testing.T) {
	for _, path := range []string{"/index", "/dist/", "/dist/index.html", "/console.go", "/api/v1/status", "/../console.go", "//"} {
		if w := get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// The page is there before anybody looks: all its files together are small.
func TestFilesAreSmall(t *testing.T) {
	const limit = 60 << 10
	var all bytes.Buffer
	entries, err := os.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile("dist/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(&all)
		if _, err := z.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d bytes gzipped", len(entries), all.Len())
	if all.Len() >= limit {
		t.Errorf("the files are %d bytes gzipped, %d are the most", all.Len(), limit)
	}
}

// Nothing in the page needs what its policy forbids, or another host.
func TestPageKeepsItsPolicy(t *testing.T) {
	html, err := io.ReadAll(get(t, "/").Body)
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile(`(?i)<style|<script(?:\s[^>]*)?>[^<]|\sstyle\s*=|\son[a-z]+\s*=|javascript:`)
	if m := inline.Find(html); m != nil {
		t.Errorf("index.html has %q", m)
	}
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+`)
	for _, name := range []string{"/", "/console.js", "/console.css"} {
		for _, m := range elsewhere.FindAllString(get(t, name).Body.String(), -1) {
			switch m {
			case "http://www.w3.org", "https://docs.example.com", "//www.w3.org", "//docs.example.com":
			default:
				t.Errorf("%s names %q", name, m)
			}
		}
	}
}
