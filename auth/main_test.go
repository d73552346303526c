package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetcher is a strategy that does what do says and notes when it was asked.
type fetcher struct {
	do func(ctx context.Context, n int) (auth.Material, error) // n counts from 1

	mu       sync.Mutex
	starts   []time.Time
	inFlight int
	most     int // most at the same time
}

func (f *fetcher) Fetch(ctx context.Context) (auth.Material, error) {
	f.mu.Lock()
	f.starts = append(f.starts, time.Now())
	n := len(f.starts)
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	do := f.do
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	return do(ctx, n)
}

// set changes what the fetcher does from the next fetch on.
func (f *fetcher) set(do func(ctx context.Context, n int) (auth.Material, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.do = do
}

// together is the most fetches that ever ran at the same time.
func (f *fetcher) together() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *fetcher) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.starts)
}

// gaps are the times between the starts of successive fetches from the nth on.
func (f *fetcher) gaps(from int) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var d []time.Duration
	for i := from; i < len(f.starts); i++ {
		d = append(d, f.starts[i].Sub(f.starts[i-1]))
	}
	return d
}

func (f *fetcher) want(t *testing.T, n int) {
	t.Helper()
	if got := f.count(); got != n {
		t.Fatalf("fetches: %d, want %d", got, n)
	}
}

// token is what an issuer gives: another one for each n.
func token(n int, life time.Duration) auth.Material {
	return auth.Material{Headers: []auth.Header{{Name: "Authorization", Value: auth.NewSecret(fmt.Sprintf("Bearer token-%d", n))}},
		Lifetime: life, Renewable: true}
}

// fixed is what a file holds.
func fixed(n int) auth.Material {
	m := token(n, 0)
	m.Renewable = false
	return m
}

// mint makes a fetcher that always gives a new token.
func mint(life time.Duration) *fetcher {
	return &fetcher{do: func(_ context.Context, n int) (auth.Material, error) { return token(n, life), nil }}
}

// bubble makes a source of f, for use within a synctest bubble.
func bubble(t *testing.T, s auth.Strategy) *auth.Source {
	src := auth.NewSource("test", s, auth.SourceOptions{})
	t.Cleanup(src.Close)
	return src
}

func renew(t *testing.T, s *auth.Source, refused uint64, want auth.Outcome) error {
	t.Helper()
	o, err := s.Renew(t.Context(), refused, false)
	if o != want {
		t.Fatalf("Renew(%d): %v (%v), want %v", refused, o, err, want)
	}
	if failure := want == auth.Passing || want == auth.Permanent; failure != (err != nil) {
		t.Fatalf("Renew(%d): %v with error %v", refused, o, err)
	}
	return err
}

func generation(t *testing.T, s *auth.Source, want uint64) *auth.Credential {
	t.Helper()
	c, ok := s.Current()
	if want == 0 {
		if ok {
			t.Fatalf("current is generation %d, want none", c.Generation())
		}
		return nil
	}
	if !ok || c.Generation() != want {
		t.Fatalf("current is %v (%v), want generation %d", c, ok, want)
	}
	return c
}

// fails is an issuer that answers with err.
func fails(err error) func(context.Context, int) (auth.Material, error) {
	return func(context.Context, int) (auth.Material, error) { return auth.Material{}, err }
}

var (
	errDown   = &auth.RenewError{Status: 503}
	errDenied = &auth.RenewError{Status: 400, Code: "invalid_grant", Permanent: true}
)
