package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A step is lanes that run beside each other; each is suites in their order.
type step [][]string

// parse reads the arguments. A suite named twice is an error, as its second log
// would replace the first.
func parse(args []string) ([]step, error) {
	var steps []step
	seen := make(map[string]bool)
	for _, arg := range args {
		var s step
		for lane := range strings.SplitSeq(arg, "|") {
			suites := strings.Fields(lane)
			if len(suites) == 0 {
				return nil, fmt.Errorf("step %q has a lane without a suite", arg)
			}
			for _, suite := range suites {
				if seen[suite] {
					return nil, fmt.Errorf("suite %s is named twice", suite)
				}
				seen[suite] = true
			}
			s = append(s, suites)
		}
		steps = append(steps, s)
	}
	if len(steps) == 0 {
		return nil, errors.New("name the suites to run")
	}
	return steps, nil
}

type runner struct {
	make string // program that makes a suite
	logs string // folder of what each printed

	mu      sync.Mutex
	out     io.Writer
	done    []result // in the order of their ends
	failed  []string
	closing string // lines of go test about packages, of the suite that ended last
}

type result struct {
	suite     string
	took, cpu time.Duration
}

// run runs the steps. The error names the suites that failed.
func (r *runner) run(ctx context.Context, steps []step) error {
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		return err
	}
	began := time.Now()
	for _, s := range steps {
		var wg sync.WaitGroup
		for _, lane := range s {
			wg.Go(func() { r.lane(ctx, lane, len(s) > 1) })
		}
		wg.Wait()
		if err := r.verdict(ctx); err != nil {
			return err
		}
	}
	r.printf("\n=== all suites passed in %.0f s\n", time.Since(began).Seconds())
	for _, d := range r.done {
		r.printf("%-12s %5.0f s %6.0f s of CPU\n", d.suite, d.took.Seconds(), d.cpu.Seconds())
	}
	r.printf("\n%s", r.closing)
	return nil
}

// lane runs suites until one fails, here or in a lane beside this one.
func (r *runner) lane(ctx context.Context, suites []string, beside bool) {
	for _, suite := range suites {
		if r.verdict(ctx) != nil {
			return
		}
		if beside {
			r.printf("\n=== %s begins\n", suite)
		} else {
			r.printf("\n=== %s\n", suite)
		}
		r.suite(suite, beside)
	}
}

// suite runs one suite and notes how it ended.
func (r *runner) suite(name string, beside bool) {
	began := time.Now()
	cmd := exec.Command(r.make, "--no-print-directory", name)
	// A process that a suite left behind does not hold up the next one.
	cmd.WaitDelay = 10 * time.Second
	printed, err := r.log(cmd, name, beside)

	r.mu.Lock()
	defer r.mu.Unlock()
	if beside {
		fmt.Fprintf(r.out, "\n=== %s\n%s", name, printed)
	}
	took := time.Since(began)
	if err != nil {
		r.failed = append(r.failed, name)
		fmt.Fprintf(r.out, "=== %s failed after %.0f s: %v\n", name, took.Seconds(), err)
		return
	}
	fmt.Fprintf(r.out, "=== %s passed in %.0f s\n", name, took.Seconds())
	r.done = append(r.done, result{name, took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()})
	if lines := closingLines(printed); lines != "" {
		r.closing = lines
	}
}

// log runs the command and returns what it printed, which is in the log while it
// runs, and when nothing runs beside it on the screen.
func (r *runner) log(cmd *exec.Cmd, name string, beside bool) (printed string, err error) {
	path := filepath.Join(r.logs, name+".log")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	cmd.Stdout = f
	if !beside {
		cmd.Stdout = io.MultiWriter(f, r.out)
	}
	cmd.Stderr = cmd.Stdout
	err = errors.Join(cmd.Run(), f.Close())
	text, readErr := os.ReadFile(path)
	return string(text), errors.Join(err, readErr)
}

// verdict is an error when no further suite may begin.
func (r *runner) verdict(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(r.failed, ", "))
	}
	return ctx.Err()
}

func (r *runner) printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format, args...)
}

var closingLine = regexp.MustCompile(`^(ok|\?|---|FAIL|PASS)(\s|$)`)

// closingLines are those of the lines that go test prints about tests and packages.
func closingLines(printed string) string {
	var b strings.Builder
	for line := range strings.Lines(printed) {
		if closingLine.MatchString(line) {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String()
}
