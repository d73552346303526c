// Package console is the page that shows how a gateway and its backends are, and
// lets a person do something about it. It holds files only: all that the page
// shows it gets from the admin API, /api/v1 on the same listener.
//
// The files of dist are made from src by test/console-build and are part of the
// repository, so that building the gateway takes no Node.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// file is one file of the page, ready to be sent.
type file struct {
	content     []byte
	contentType string
	etag        string
}

// contentTypes are those of the files, by their extension. The machine's own list
// of types is not asked, since it may say something else.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// policy lets the page load, and talk to, nothing but the listener it came from,
// and nobody show it inside a page of theirs.
const policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// Handler serves the console at / and its files beside it. It answers GET and
// HEAD, anything it does not have with 404. It needs no authentication: the files
// are the same for everybody and hold no data.
func Handler() http.Handler {
	files := load(dist)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the console is only to be read", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.contentType)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// Kept, and asked for anew each time: a new binary has a new page.
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", f.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	})
}

// load reads the files by the path at which they are served.
func load(from fs.FS) map[string]file {
	files := make(map[string]file)
	err := fs.WalkDir(from, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		files[strings.TrimPrefix(name, "dist")] = file{
			content:     content,
			contentType: contentTypes[path.Ext(name)],
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		return nil
	})
	if err != nil {
		panic("console: the embedded files cannot be read: " + err.Error())
	}
	files["/"] = files["/index.html"]
	return files
}
