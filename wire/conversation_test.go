package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// Each archive of testdata is a conversation, told in the order of its files.
// What is said ends in .request, .json (an answer) or .sse (a stream that
// answers); what the package makes of it follows, and -update rewrites that:
//
//	.scan    the parts that Scan finds, or why it refuses
//	.elder   the request as it goes to a server of 2025-11-25
//	.modern  the request as it goes to a server of 2026-07-28
//	.client  the answer as it goes to a client of 2026-07-28
//
// On the way to a server the gateway's prefix is taken off names and the id is
// replaced; on the way back the client's id is put in again.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			retold := retell(t, archive)
			if *update {
				if err := os.WriteFile(file, txtar.Format(retold), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(retold))); diff != "" {
				t.Errorf("-told +made:\n%s", diff)
			}
		})
	}
}

func retell(t *testing.T, archive *txtar.Archive) *txtar.Archive {
	out := &txtar.Archive{Comment: archive.Comment}
	add := func(name string, data []byte) {
		if !bytes.HasSuffix(data, []byte("\n")) {
			data = append(bytes.Clone(data), '\n')
		}
		out.Files = append(out.Files, txtar.File{Name: name, Data: data})
	}
	var method, id string
	for _, f := range archive.Files {
		name, sort := strings.TrimSuffix(f.Name, filepath.Ext(f.Name)), filepath.Ext(f.Name)
		switch sort {
		case ".request":
			add(f.Name, f.Data)
			e, err := Scan(f.Data)
			add(name+".scan", dump(f.Data, e, err))
			if err != nil || e.Kind != Request && e.Kind != Notification {
				continue
			}
			method, id = e.Method, string(e.ID.Of(f.Data))
			add(name+".elder", forward(f.Data, &e, WithoutRequestMeta()))
			add(name+".modern", forward(f.Data, &e, RequestMeta{Revision: Rev20260728}.KVs()))
		case ".json":
			add(f.Name, f.Data)
			got, err := RewriteAnswer(nil, f.Data, RewriteOptions{ID: []byte(id), Members: ModernMembers(method)})
			if err != nil {
				got = []byte("error: " + err.Error())
			} else if a, err := ScanAnswer(f.Data); err == nil && a.Error.Present() {
				got = fmt.Appendf(got, "code %d, modern error %v\n", a.ErrorCode, IsModernError(f.Data))
			}
			add(name+".client", got)
		case ".sse":
			add(f.Name, f.Data)
			s := NewStreamRewriter(bytes.NewReader(f.Data), StreamOptions{
				Rewrite: RewriteOptions{ID: []byte(id), Members: ModernMembers(method)},
				DropIDs: true,
			})
			got, err := io.ReadAll(s)
			if err != nil {
				got = append(got, "error: "+err.Error()...)
			}
			add(name+".client", got)
		case ".scan", ".elder", ".modern", ".client":
		default:
			t.Fatalf("%s: no such sort of file", f.Name)
		}
	}
	return out
}

// forward does to a request what a gateway does.
func forward(b []byte, e *Envelope, meta []KV) []byte {
	edits := MetaEdits(nil, b, e, meta, "")
	if e.ID.Present() {
		edits = append(edits, Edit{e.ID, []byte(`"gw-1"`)})
	}
	for _, at := range []Span{e.Name, e.RefName} {
		if name, ok := Unquote(at.Of(b)); ok {
			edits = append(edits, Edit{at, Quote(nil, strings.TrimPrefix(name, "weather_"))})
		}
	}
	return Splice(nil, b, edits...)
}

func dump(b []byte, e Envelope, err error) []byte {
	var se *ScanError
	if errors.As(err, &se) {
		return fmt.Appendf(nil, "refused with %d: %v\nid %s\n", se.Code, err, e.ID.Of(b))
	}
	out := fmt.Appendf(nil, "%v of class %v, revision %q, Mcp-Name %s\n", e.Kind, ClassOf(e.Method), e.Revision(b), e.NameAt().Of(b))
	m := parts(b, e)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = fmt.Appendf(out, "%s %s\n", k, m[k])
	}
	return out
}
