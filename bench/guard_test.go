package bench

import (
	"context"
	"testing"

	"github.com/recloser-mcp/recloser/guard"
)

type credential struct{ generation, rotation uint64 }

func (c *credential) Generation() uint64 { return c.generation }
func (c *credential) Rotation() uint64   { return c.rotation }

type fixed struct{ c *credential }

func (f *fixed) Current() (*credential, bool)                      { return f.c, true }
func (f *fixed) Peek() (*credential, bool)                         { return f.c, true }
func (f *fixed) Renew(context.Context, uint64, bool) guard.Outcome { return guard.Same }

type accepting struct{}

func (accepting) Send(context.Context, guard.Attempt[*credential]) guard.Verdict {
	return guard.Accepted
}

// BenchmarkGuardSuccess is the price of the guard for a call that nothing is
// wrong with. Its neighbor is the same call without a guard.
func BenchmarkGuardSuccess(b *testing.B) {
	g := guard.New[*credential](&fixed{&credential{generation: 1}}, guard.Options{})
	defer g.Close()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if r := g.Do(ctx, guard.Call, accepting{}); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkWithoutGuard makes the same two dynamic calls by itself.
func BenchmarkWithoutGuard(b *testing.B) {
	var src guard.Source[*credential] = &fixed{&credential{generation: 1}}
	var s guard.Sender[*credential] = accepting{}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c, _ := src.Current()
		if s.Send(ctx, guard.Attempt[*credential]{Credential: c, Number: 1}) != guard.Accepted {
			b.Fatal("refused")
		}
	}
}
