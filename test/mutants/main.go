// Command mutants proves that the tests notice: each testdata/mutants/*.patch is
// a plausible wrong turn in the code, and with each applied to a copy of the tree
// a test must fail. It is run from the root of the repository:
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
// The test line holds the arguments of go test, behind -C and a folder where the test
// is in a nested module. It may be repeated: the first
// that fails is enough. Every test line is first run without any patch and must
// pass, and it must run at least one test.
//
// The command fails when a mutant survives, when a patch no longer applies, and
// when the patched code does not compile: such a patch proves nothing.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
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
	verbose := flag.Bool("v", false, "print what each failing test printed")
	flag.Parse()
	r := runner{root: ".", patches: *patches, limit: *limit, verbose: *verbose, out: os.Stdout}
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
	// One copy per worker, cleaned between its mutants. Go's cache knows a
	// package by its folder, so the copies lie where they lay the last time.
	work, err := filepath.Abs(filepath.Join(r.root, ".tools", "mutants"))
	if err != nil {
		return false, err
	}
	unlock, err := lock(work)
	if err != nil {
		return false, err
	}
	defer unlock()
	trees := make([]*tree, max(1, min(workers, len(patches))))
	for i := range trees {
		if trees[i], err = copyTree(ctx, r.root, filepath.Join(work, fmt.Sprint("tree", i))); err != nil {
			return false, err
		}
	}
	began := time.Now()
	if err := r.baseline(ctx, trees, patches); err != nil {
		return false, err
	}
	results := make([]result, len(patches))
	each(trees, len(patches), func(t *tree, i int) {
		results[i] = r.try(ctx, t, patches[i])
	})
	return r.report(results, time.Since(began)), ctx.Err()
}

// baseline runs every test line without a patch.
func (r *runner) baseline(ctx context.Context, trees []*tree, patches []patch) error {
	var lines []string
	for _, p := range patches {
		for _, line := range p.tests {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	errs := make([]error, len(lines))
	each(trees, len(lines), func(t *tree, i int) {
		errs[i] = t.baseline(ctx, lines[i], r.limit)
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls f for 0 to n-1, in parallel, no two at a time with the same tree.
func each(trees []*tree, n int, f func(t *tree, i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for _, t := range trees {
		wg.Go(func() {
			for i := range work {
				f(t, i)
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
	by      string // the test line that failed, or was the last to pass
	output  string
	took    time.Duration
}

// try applies one patch to the tree, runs its tests and cleans up.
func (r *runner) try(ctx context.Context, t *tree, p patch) result {
	began := time.Now()
	res := result{patch: p, verdict: survived}
	if out, err := t.apply(ctx, p.path); err != nil {
		res.verdict, res.output = stale, out
	} else {
		for _, line := range p.tests {
			res.by = line
			if res.verdict, res.output = t.test(ctx, line, r.limit); res.verdict != survived {
				break
			}
		}
	}
	if err := t.restore(); err != nil {
		res.verdict, res.output = failed, err.Error()
	}
	res.took = time.Since(began)
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
