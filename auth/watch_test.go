package auth_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
)

// counted counts the fetches of a real strategy.
type counted struct {
	auth.Strategy
	n atomic.Int32
}

func (c *counted) Fetch(ctx context.Context) (auth.Material, error) {
	c.n.Add(1)
	return c.Strategy.Fetch(ctx)
}

func (c *counted) Watch(ctx context.Context, changed func()) error {
	return c.Strategy.(auth.Watcher).Watch(ctx, changed)
}

// secretFile is a source whose token is in a file.
type secretFile struct {
	*auth.Source
	fetches *counted
	events  chan auth.Event
}

func watchFile(t *testing.T, path string) *secretFile {
	t.Helper()
	s, err := auth.NewBearer(auth.BearerOptions{Token: auth.NewFileValue(path)})
	if err != nil {
		t.Fatal(err)
	}
	f := &secretFile{fetches: &counted{Strategy: s}, events: make(chan auth.Event, 100)}
	f.Source = auth.NewSource("bearer", f.fetches, auth.SourceOptions{})
	f.Watch(func(e auth.Event) { f.events <- e })
	t.Cleanup(f.Close)
	return f
}

// rotated waits for the next rotation and returns what is sent from then on.
func (f *secretFile) rotated(t *testing.T) string {
	t.Helper()
	for {
		select {
		case e := <-f.events:
			if e.Kind != auth.Rotated {
				continue
			}
			return sent(t, f.Source)
		case <-time.After(20 * time.Second): // recheck would come after 30
			t.Fatal("the change was not seen")
		}
	}
}

func sent(t *testing.T, s *auth.Source) string {
	t.Helper()
	c, ok := s.Current()
	if !ok {
		t.Fatal("no credential")
	}
	h := http.Header{}
	c.Apply(h)
	return h.Get("Authorization")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// replace writes beside and renames, as careful programs do.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	must(t, os.Rename(path+".new", path))
}

// kubelet lays out a mounted secret: token -> ..data/token, ..data -> ..VERSION.
func kubelet(t *testing.T, dir, version, content string) {
	t.Helper()
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	must(t, os.MkdirAll(filepath.Join(dir, version), 0o700))
	write(t, filepath.Join(dir, version, "token"), content)
	must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if old == "" {
		must(t, os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "token")))
	} else {
		must(t, os.RemoveAll(filepath.Join(dir, old)))
	}
}

func TestFileChangesAreSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string
		lay    func(t *testing.T, dir string)
		change func(t *testing.T, dir, content string, n int)
	}{
		"written in place": {"token",
			func(t *testing.T, dir string) { write(t, dir+"/token", "one\n") },
			func(t *testing.T, dir, content string, _ int) { write(t, dir+"/token", content) }},
		"replaced": {"token",
			func(t *testing.T, dir string) { write(t, dir+"/token", "one\n") },
			func(t *testing.T, dir, content string, _ int) { replace(t, dir+"/token", content) }},
		"removed and made again": {"token",
			func(t *testing.T, dir string) { write(t, dir+"/token", "one\n") },
			func(t *testing.T, dir, content string, _ int) {
				must(t, os.Remove(dir+"/token"))
				write(t, dir+"/token", content)
			}},
		"kubernetes": {"token",
			func(t *testing.T, dir string) { kubelet(t, dir, "..v1", "one\n") },
			func(t *testing.T, dir, content string, n int) {
				kubelet(t, dir, "..v1"+strings.Repeat("x", n), content)
			}},
		"link swapped further up": {"current/sub/token",
			func(t *testing.T, dir string) {
				must(t, os.MkdirAll(dir+"/r0/sub", 0o700))
				write(t, dir+"/r0/sub/token", "one\n")
				must(t, os.Symlink("r0", dir+"/current"))
			},
			func(t *testing.T, dir, content string, n int) {
				next := "r" + strings.Repeat("x", n)
				must(t, os.MkdirAll(filepath.Join(dir, next, "sub"), 0o700))
				write(t, filepath.Join(dir, next, "sub", "token"), content)
				must(t, os.Symlink(next, dir+"/tmp"))
				must(t, os.Rename(dir+"/tmp", dir+"/current"))
			}},
		"behind a link, in place": {"token",
			func(t *testing.T, dir string) {
				must(t, os.Mkdir(dir+"/far", 0o700))
				write(t, dir+"/far/secret", "one\n")
				must(t, os.Symlink(dir+"/far/secret", dir+"/token"))
			},
			func(t *testing.T, dir, content string, _ int) { write(t, dir+"/far/secret", content) }},
		"directory replaced": {"sub/token",
			func(t *testing.T, dir string) {
				must(t, os.Mkdir(dir+"/sub", 0o700))
				write(t, dir+"/sub/token", "one\n")
			},
			func(t *testing.T, dir, content string, n int) {
				must(t, os.Rename(dir+"/sub", dir+"/old"+strings.Repeat("x", n)))
				must(t, os.Mkdir(dir+"/sub", 0o700))
				write(t, dir+"/sub/token", content)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.lay(t, dir)
			f := watchFile(t, filepath.Join(dir, c.path))
			if o, err := f.Renew(t.Context(), 0, false); o != auth.New {
				t.Fatal(o, err)
			}
			if got := sent(t, f.Source); got != "Bearer one" {
				t.Fatal(got)
			}
			for i, content := range []string{"two", "three", "four"} {
				c.change(t, dir, content+"\n", i+1)
				if got := f.rotated(t); got != "Bearer "+content {
					t.Fatalf("%s, want %s", got, content)
				}
			}
			if c, _ := f.Current(); c.Generation() != 4 || c.Rotation() != 3 {
				t.Errorf("generation %d, rotation %d", c.Generation(), c.Rotation())
			}
		})
	}
}

func TestFileThatAppearsLaterIsSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := watchFile(t, filepath.Join(dir, "a", "b", "token"))
	if o, err := f.Renew(t.Context(), 0, false); o != auth.Passing || !errors.Is(err, os.ErrNotExist) {
		t.Fatal(o, err)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	write(t, filepath.Join(dir, "a", "b", "token"), "late")
	for {
		select {
		case e := <-f.events:
			if e.Outcome != auth.New {
				continue
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the file was not seen")
		}
		break
	}
	if got := sent(t, f.Source); got != "Bearer late" {
		t.Error(got)
	}
}

// A file that is touched, emptied or taken away is no new credential.
func TestEqualOrMissingContentIsNoRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	write(t, path, "one")
	f := watchFile(t, path)
	if o, err := f.Renew(t.Context(), 0, false); o != auth.New {
		t.Fatal(o, err)
	}
	<-f.events
	replace(t, path, "one\n") // the newline does not count
	write(t, path, "")
	must(t, os.Remove(path))
	replace(t, path, "two")
	if got := f.rotated(t); got != "Bearer two" {
		t.Error(got)
	}
	if n := f.fetches.n.Load(); n != 2 {
		t.Errorf("%d fetches, want one more for the one change", n)
	}
}

func TestUnusedSourceWatchesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	write(t, dir+"/token", "one")
	s, err := auth.NewRegistry().New(auth.Spec{Type: "bearer", Decode: func(into any) error {
		into.(*auth.BearerOptions).Token = auth.NewFileValue(dir + "/token")
		return nil
	}}, auth.SourceOptions{})
	must(t, err)
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	_, _ = s.Renew(t.Context(), 0, false)
	s.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// A renewal that happens to read the new secret first must not hide that it was a
// change from outside.
func TestRenewalDoesNotHideARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "one")
	s, err := auth.NewBearer(auth.BearerOptions{Token: auth.NewFileValue(path)})
	must(t, err)
	for _, content := range []string{"one", "two"} {
		replace(t, path, content)
		_, err = s.Fetch(t.Context())
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	told := 0
	err = s.(auth.Watcher).Watch(ctx, func() {
		told++
		cancel()
	})
	if told != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("told %d times, %v", told, err)
	}
}

func TestChangedClientSecretIsARotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	write(t, path, "first")
	var asked []string
	var mu sync.Mutex
	tr := roundTripper(func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		mu.Lock()
		asked = append(asked, secret)
		mu.Unlock()
		writeJSON(w, 200, `{"access_token":"for-`+secret+`","token_type":"Bearer","expires_in":3600}`)
	})
	s, err := auth.NewClientCredentials(auth.ClientCredentialsOptions{
		TokenURL: "https://issuer.test/token", ClientID: "me", ClientSecret: auth.NewFileValue(path),
	}, &http.Client{Transport: tr})
	must(t, err)
	f := &secretFile{Source: auth.NewSource("client_credentials", s, auth.SourceOptions{}), events: make(chan auth.Event, 10)}
	defer f.Close()
	f.Watch(func(e auth.Event) { f.events <- e })
	if o, err := f.Renew(t.Context(), 0, false); o != auth.New {
		t.Fatal(o, err)
	}
	replace(t, path, "second")
	if got := f.rotated(t); got != "Bearer for-second" {
		t.Error(got)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"first", "second"}, asked); diff != "" {
		t.Error(diff)
	}
}

// blind is a strategy that cannot watch.
type blind struct {
	*fetcher
	mu    sync.Mutex
	tries []time.Time
	errs  []error
}

func (b *blind) Watch(context.Context, func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries = append(b.tries, time.Now())
	err := b.errs[min(len(b.tries), len(b.errs))-1]
	if err == nil {
		panic("out of order")
	}
	return err
}

func TestWatchingIsTriedAgainAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &blind{fetcher: mint(0), errs: []error{errors.New("no watches left"), errors.New("no watches left"), nil}}
		s := auth.NewSource("test", b, auth.SourceOptions{Name: "corp", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		renew(t, s, 0, auth.New)
		time.Sleep(2 * time.Minute)
		s.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		var gaps []time.Duration
		for i := 1; i < len(b.tries); i++ {
			gaps = append(gaps, b.tries[i].Sub(b.tries[i-1]))
		}
		sec := time.Second
		if diff := cmp.Diff([]time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec, 30 * sec}, gaps); diff != "" {
			t.Error(diff)
		}
		if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "credential=corp") != 2 {
			t.Error(got)
		}
	})
}
