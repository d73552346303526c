// Command mutants proves that the tests notice: each testdata/mutants/*.patch is
// a plausible wrong turn in the code, and with each applied a test must fail. The
// files of the working tree stay as they are: only compilers see the change. It is run
// from the root of the repository:
//
//	go run ./test/mutants            all patches
//	go run ./test/mutants NAME...    those whose file name contains a NAME
//	go run ./test/mutants -patches DIR
//
// A patch is what git diff prints, below a header of comment lines:
//
//	# why: a late 401 renews again instead of taking the newer credential
//	# test: ./guard/ -run TestLateRefusal
//
// The test line holds a package and flags as go test takes them, behind -C and a
// folder where the test is in a nested module. It may be repeated: the first
// that fails is enough. Every test line is first run without any patch and must
// pass, and it must run at least one test; with -baseline=false that is left out, for
// those who have just run them.
//
// The command fails when a mutant survives, when a patch no longer applies, and
// when the patched code does not compile: such a patch proves nothing.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	workers := flag.Int("workers", 2, "mutants tried at the same time")
	limit := flag.Duration("limit", 2*time.Minute, "longest run of one test line; a mutant that hangs is caught, too")
	patches := flag.String("patches", "testdata/mutants", "folder of the patches")
	baseline := flag.Bool("baseline", true, "first run each test line without a patch")
	verbose := flag.Bool("v", false, "print what each failing test printed")
	flag.Parse()
	r := runner{root: ".", patches: *patches, limit: *limit, trusts: !*baseline, verbose: *verbose, out: os.Stdout}
	ok, err := r.run(ctx, *workers, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

type runner struct {
	root    string
	patches string        // folder of them, from root; empty: testdata/mutants
	limit   time.Duration // of one run of go test
	trusts  bool          // that test lines pass without a patch
	verbose bool
	out     io.Writer
}

// run tries the patches whose names contain one of the given words and prints
// the table. ok is false when one of them was not caught.
func (r *runner) run(ctx context.Context, workers int, words []string) (ok bool, err error) {
	patches, err := readPatches(filepath.Join(r.root, cmp.Or(r.patches, "testdata/mutants")), words)
	if err != nil {
		return false, err
	}
	began := time.Now()
	if !r.trusts {
		if err := r.baseline(ctx, workers, patches); err != nil {
			return false, err
		}
	}
	results := make([]result, len(patches))
	each(workers, len(patches), func(i int) { results[i] = r.try(ctx, patches[i]) })
	return r.report(results, time.Since(began)), ctx.Err()
}

// baseline runs every test line without a patch.
func (r *runner) baseline(ctx context.Context, workers int, patches []patch) error {
	t, err := newTree(r.root)
	if err != nil {
		return err
	}
	defer func() { _ = t.close() }()
	lines := make(map[binary][]testLine)
	for _, p := range patches {
		for _, l := range p.tests {
			same := func(o testLine) bool { return slices.Equal(o.flags, l.flags) }
			if !slices.ContainsFunc(lines[l.binary], same) {
				lines[l.binary] = append(lines[l.binary], l)
			}
		}
	}
	binaries := slices.Collect(maps.Keys(lines))
	errs := make([]error, len(binaries))
	each(workers, len(binaries), func(i int) { errs[i] = t.baseline(ctx, lines[binaries[i]], r.limit) })
	return errors.Join(errs...)
}

// each calls f for 0 to n-1, as many at a time as there are workers.
func each(workers, n int, f func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range max(1, workers) {
		wg.Go(func() {
			for i := range work {
				f(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// verdict says what became of one mutant.
type verdict string

const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED"
	stale    verdict = "DOES NOT APPLY"
	broken   verdict = "DOES NOT COMPILE"
	failed   verdict = "COULD NOT RUN"
)

type result struct {
	patch
	verdict verdict
	by      testLine // that failed, or was the last to pass
	output  string
	took    time.Duration
}

// try applies one patch and runs its tests.
func (r *runner) try(ctx context.Context, p patch) (res result) {
	began := time.Now()
	defer func() { res.took = time.Since(began) }()
	res = result{patch: p, verdict: failed}
	t, err := newTree(r.root)
	if err != nil {
		res.output = err.Error()
		return res
	}
	defer func() { _ = t.close() }()
	if out, err := t.apply(ctx, p.path); err != nil {
		res.verdict, res.output = stale, out+"\n"+err.Error()
		return res
	}
	for _, res.by = range p.tests {
		if res.verdict, res.output = t.test(ctx, res.by, r.limit); res.verdict != survived {
			break
		}
	}
	return res
}

// report prints the table and says whether every mutant was caught.
func (r *runner) report(results []result, took time.Duration) bool {
	table := tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	escaped := 0
	for _, res := range results {
		fmt.Fprintf(table, "%s\t%s\t%.1f s\tgo test %s\n", res.name, res.verdict, res.took.Seconds(), res.by)
		if res.verdict != caught {
			escaped++
		}
	}
	_ = table.Flush()
	for _, res := range results {
		if res.verdict == caught && !r.verbose {
			continue
		}
		fmt.Fprintf(r.out, "\n--- %s: %s: %s\n", res.name, res.verdict, res.why)
		if res.verdict == survived {
			fmt.Fprintln(r.out, "No test noticed this change: a test is missing or asserts too little.")
		}
		fmt.Fprintln(r.out, strings.TrimSpace(tail(res.output, 60)))
	}
	fmt.Fprintf(r.out, "%d mutants, %d caught, %d not, %.0f s\n", len(results), len(results)-escaped, escaped, took.Seconds())
	return escaped == 0
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
