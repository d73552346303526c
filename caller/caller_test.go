package caller_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/test/leak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenA = "fJ3kq0ZpX8vB1nLw5yTd"
	tokenB = "Wq7sH2cMz9RgU4eKa6Po"
)

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// value parses a configured string, as the configuration does.
func value(t *testing.T, text string) auth.Value {
	t.Helper()
	var v auth.Value
	if err := v.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return v
}

func bearer(t *testing.T, tokens ...string) *caller.Authenticator {
	t.Helper()
	o := caller.Options{Type: caller.TypeBearer}
	for _, text := range tokens {
		o.Tokens = append(o.Tokens, value(t, text))
	}
	a, err := caller.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func with(authorization ...string) *http.Request {
	r := httptest.NewRequest("POST", "/mcp", nil)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return r
}

func TestAuthenticate(t *testing.T) {
	a := bearer(t, digest(tokenA), tokenB)
	const (
		missing = `Bearer realm="recloser"`
		invalid = `Bearer realm="recloser", error="invalid_token", error_description="the gateway does not know this token"`
		unclear = `Bearer realm="recloser", error="invalid_request", error_description="send one Authorization header with one bearer token"`
	)
	for _, test := range []struct {
		name      string
		request   *http.Request
		id        string
		status    int
		challenge string
	}{
		{"first token", with("Bearer " + tokenA), "bearer:token-1", 0, ""},
		{"second token", with("Bearer " + tokenB), "bearer:token-2", 0, ""},
		{"scheme in lower case", with("bearer " + tokenA), "bearer:token-1", 0, ""},
		{"two spaces", with("Bearer  " + tokenA), "bearer:token-1", 0, ""},
		{"no header", with(), "", 401, missing},
		{"empty header", with(""), "", 401, missing},
		{"another scheme", with("Basic Zm9vOmJhcg=="), "", 401, missing},
		{"token without scheme", with(tokenA), "", 401, missing},
		{"token in the address", func() *http.Request { r := with(); r.URL.RawQuery = "access_token=" + tokenA; return r }(), "", 401, missing},
		{"unknown token", with("Bearer x" + tokenA), "", 401, invalid},
		{"prefix of a token", with("Bearer " + tokenA[:8]), "", 401, invalid},
		{"the digest instead of the token", with("Bearer " + strings.TrimPrefix(digest(tokenA), "sha256:")), "", 401, invalid},
		{"the configured text", with("Bearer " + digest(tokenA)), "", 400, unclear},
		{"nothing after the scheme", with("Bearer"), "", 400, unclear},
		{"a space after the scheme", with("Bearer "), "", 400, unclear},
		{"two tokens", with("Bearer " + tokenA + " " + tokenB), "", 400, unclear},
		{"a list", with("Bearer " + tokenA + "," + tokenB), "", 400, unclear},
		{"padding only", with("Bearer =="), "", 400, unclear},
		{"two headers", with("Bearer "+tokenA, "Bearer "+tokenA), "", 400, unclear},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := a.Authenticate(test.request)
			if id.ID != test.id {
				t.Errorf("identity %+v, want %q", id, test.id)
			}
			var refusal *caller.Error
			if !errors.As(err, &refusal) {
				if test.status != 0 {
					t.Fatalf("error %v, want status %d", err, test.status)
				}
				return
			}
			if refusal.Status != test.status || refusal.Challenge != test.challenge {
				t.Errorf("refused with %d, %s; want %d, %s", refusal.Status, refusal.Challenge, test.status, test.challenge)
			}
			if hits := leak.Find(fmt.Appendf(nil, "%+v %#v", refusal, id), tokenA, tokenB); len(hits) > 0 {
				t.Errorf("the error shows a token: %v", hits)
			}
		})
	}
}

func TestEverybodyMayCall(t *testing.T) {
	for _, typ := range []string{"", caller.TypeNone} {
		o := caller.Options{Type: typ}
		a, err := caller.New(o)
		if err != nil || !o.Public() {
			t.Fatalf("type %q: %v, public %v", typ, err, o.Public())
		}
		id, err := a.Authenticate(with("Bearer " + tokenA))
		if err != nil || id != caller.Anonymous {
			t.Errorf("type %q: %+v, %v", typ, id, err)
		}
	}
	if (caller.Options{Type: caller.TypeBearer}).Public() {
		t.Error("bearer counts as public")
	}
}

func TestNewNamesEveryDefect(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	for _, test := range []struct {
		name   string
		typ    string
		tokens []string
		want   []string
	}{
		{"unknown type", "oidcc", nil, []string{`"oidcc"`, `"none" or "bearer"`}},
		{"tokens without effect", "none", []string{tokenA}, []string{`set type to "bearer"`}},
		{"no token", "bearer", nil, []string{"tokens is empty"}},
		{"all of them", "bearer", []string{"sha256:abc", digest(tokenA), "", "${file:" + gone + "}", "two words", "sha256:" + strings.Repeat("g", 64), digest(tokenA) + "0"},
			[]string{"tokens[0]", "sha256sum", "tokens[2]: is empty", "tokens[3]", "gone", "tokens[4]", "one entry is one token", "tokens[5]", "tokens[6]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := caller.Options{Type: test.typ}
			for _, text := range test.tokens {
				o.Tokens = append(o.Tokens, value(t, text))
			}
			_, err := caller.New(o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			for _, shown := range []string{tokenA, "two words", "sha256:abc", "tokens[1]"} {
				if strings.Contains(err.Error(), shown) {
					t.Errorf("%q is in: %v", shown, err)
				}
			}
		})
	}
}

// file is a token file in a test, with the authenticator that reads it.
type file struct {
	t    *testing.T
	path string
	a    *caller.Authenticator
	log  bytes.Buffer
}

func newFile(t *testing.T, content string) *file {
	f := &file{t: t, path: filepath.Join(t.TempDir(), "token")}
	f.write(content)
	var err error
	f.a, err = caller.New(caller.Options{
		Type: caller.TypeBearer, Tokens: []auth.Value{auth.NewFileValue(f.path)},
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write replaces the file, as a mounted secret is replaced: under another name
// first.
func (f *file) write(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *file) wants(token string, accepted bool) {
	f.t.Helper()
	id, err := f.a.Authenticate(with("Bearer " + token))
	if (err == nil) != accepted {
		f.t.Errorf("%v, want accepted: %v", err, accepted)
	}
	if accepted && id.ID != "bearer:token-1" {
		f.t.Errorf("identity %+v", id)
	}
}

func (f *file) logged(words string, times int) {
	f.t.Helper()
	if n := strings.Count(f.log.String(), words); n != times {
		f.t.Errorf("%q was logged %d times, want %d:\n%s", words, n, times, f.log.String())
	}
}

func TestFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, tokenA+"\n")
		f.wants(tokenA, true)
		f.wants(tokenB, false)

		f.write(digest(tokenB) + "\n")
		f.wants(tokenA, true) // looked less than a second ago
		time.Sleep(time.Second)
		f.wants(tokenB, true)
		f.wants(tokenA, false)
		f.logged("read again", 1)

		time.Sleep(time.Hour)
		f.wants(tokenB, true)
		f.logged("read again", 1)
		f.logged("level=WARN", 0)
		if hits := leak.Find(f.log.Bytes(), tokenA, tokenB); len(hits) > 0 {
			t.Errorf("the log shows a token: %v", hits)
		}
	})
}

// A file that is away for a moment turns nobody away; one that stays away does.
func TestFileIsGone(t *testing.T) {
	for name, spoil := range map[string]func(f *file){
		"deleted":   func(f *file) { _ = os.Remove(f.path) },
		"emptied":   func(f *file) { f.write("") },
		"two lines": func(f *file) { f.write(tokenA + "\n" + tokenB) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFile(t, tokenA)
				spoil(f)
				time.Sleep(time.Second)
				f.wants(tokenA, true) // seen missing: the ten seconds begin
				time.Sleep(9 * time.Second)
				f.wants(tokenA, true)
				time.Sleep(time.Second)
				f.wants(tokenA, false)
				time.Sleep(time.Minute)
				f.wants(tokenA, false)
				f.logged("level=WARN", 1)
				f.logged("level=ERROR", 1)

				f.write(tokenB)
				time.Sleep(time.Second)
				f.wants(tokenB, true)
				f.wants(tokenA, false)
			})
		})
	}
}

func TestFileComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, tokenA)
		for range 3 { // each absence has ten seconds of its own
			_ = os.Remove(f.path)
			time.Sleep(time.Second)
			f.wants(tokenA, true)
			f.write(tokenA)
			time.Sleep(9 * time.Second)
			f.wants(tokenA, true)
		}
		f.logged("level=WARN", 3)
		f.logged("level=ERROR", 0)
	})
}

// A link that is swapped is how a cluster replaces a mounted secret. The new file
// has the same size.
func TestSwappedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, token := range map[string]string{"v1": tokenA, "v2": tokenB} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, "token"), []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		link := func(to string) {
			t.Helper()
			if err := os.Symlink(to, filepath.Join(dir, "tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
		}
		link("v1")
		a := bearer(t, "${file:"+filepath.Join(dir, "data", "token")+"}")
		if _, err := a.Authenticate(with("Bearer " + tokenA)); err != nil {
			t.Fatal(err)
		}
		link("v2")
		time.Sleep(time.Second)
		if _, err := a.Authenticate(with("Bearer " + tokenB)); err != nil {
			t.Errorf("the new token: %v", err)
		}
		if _, err := a.Authenticate(with("Bearer " + tokenA)); err == nil {
			t.Error("the old token is still accepted")
		}
	})
}

func TestAuthenticateConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, tokenA)
		f.write(tokenB)
		time.Sleep(time.Second)
		f.wants(tokenB, true) // the first request of a second looks
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 50 {
					if _, err := f.a.Authenticate(with("Bearer " + tokenB)); err != nil {
						t.Error(err)
					}
					time.Sleep(300 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		f.logged("read again", 1)
	})
}

func TestWrap(t *testing.T) {
	var got []string
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, caller.FromContext(r.Context()).ID+"|"+r.Header.Get("Authorization")+"|"+r.Header.Get("X-Kept"))
	})
	serve := func(a *caller.Authenticator, r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		a.Wrap(next).ServeHTTP(w, r)
		return w
	}
	r := with("Bearer " + tokenA)
	r.Header.Set("X-Kept", "yes")
	serve(bearer(t, digest(tokenA)), r)
	if r.Header.Get("Authorization") == "" {
		t.Error("the request itself was changed")
	}
	open, err := caller.New(caller.Options{})
	if err != nil {
		t.Fatal(err)
	}
	serve(open, with())
	w := serve(bearer(t, digest(tokenA)), with("Bearer "+tokenB))
	if want := []string{"bearer:token-1||yes", "anonymous||"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("next saw %q, want %q", got, want)
	}
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Header().Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("refused with %d, %v", w.Code, w.Header())
	}
	if want := `{"jsonrpc":"2.0","error":{"code":-32600,"message":"the gateway does not know this bearer token"}}`; w.Body.String() != want {
		t.Errorf("body %s, want %s", w.Body, want)
	}
}

func TestWriteErrorTellsNothingOfOtherErrors(t *testing.T) {
	w := httptest.NewRecorder()
	caller.WriteError(w, errors.New("inner "+tokenA))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "inner") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	var values []auth.Value
	for i := range 10 {
		values = append(values, auth.NewValue(fmt.Sprintf("token-%d-%s", i, tokenA)))
	}
	a, err := caller.New(caller.Options{Type: caller.TypeBearer, Tokens: append(values, auth.NewValue(tokenA))})
	if err != nil {
		b.Fatal(err)
	}
	r := with("Bearer " + tokenA)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
