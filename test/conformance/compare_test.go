package conformance

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// revisions are the requirement sets that are run.
var revisions = []string{"2025-11-25", "2026-07-28"}

// ways are the ways through the gateway, by suite.
var ways = map[string][]string{
	"server": {"one", "all", "bridged"},
	"client": {"gateway", "bridged"},
}

// difference is a check that the gateway made worse.
type difference struct {
	check
	change  string // "pass>fail"
	message string // of the suite
}

// differences returns the checks that fail or warn more often in got than in
// want, or pass less often. What else differs is no loss.
func differences(want, got results) []difference {
	var out []difference
	seen := map[check]bool{}
	for _, r := range []results{want, got} {
		for c := range r.checks {
			w, g := want.checks[c], got.checks[c]
			if !seen[c] && (g[fail] > w[fail] || g[warn] > w[warn] || g[pass] < w[pass]) {
				out = append(out, difference{c, w.String() + ">" + g.String(), got.messages[c]})
			}
			seen[c] = true
		}
	}
	slices.SortFunc(out, func(a, b difference) int {
		return cmp.Or(cmp.Compare(a.Scenario, b.Scenario), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// run says which of the runs of a suite is meant.
type run struct{ suite, revision, way string }

// expectation is a line of expected.txt.
type expectation struct {
	line   int
	run           // revision and way may be "*"
	check         // exact
	change string // exact
	reason string
}

func (e expectation) String() string {
	return fmt.Sprintf("expected.txt:%d: %s %s %s %s %s %s", e.line, e.suite, e.revision, e.way, e.Scenario, e.ID, e.change)
}

func (e expectation) covers(r run) bool {
	return e.suite == r.suite && (e.revision == "*" || e.revision == r.revision) && (e.way == "*" || e.way == r.way)
}

// parseExpected reads a list of expectations. A line that could never match is
// an error.
func parseExpected(from io.Reader) ([]expectation, error) {
	var list []expectation
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		f := strings.Fields(text)
		if len(f) < 7 {
			return nil, fmt.Errorf("line %d: want suite, revision, way, scenario, check, change and a reason", n)
		}
		e := expectation{line: n, run: run{f[0], f[1], f[2]}, check: check{f[3], f[4]}, change: f[5], reason: strings.Join(f[6:], " ")}
		known, ok := ways[e.suite]
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d: there is no suite %q", n, e.suite)
		case e.revision != "*" && !slices.Contains(revisions, e.revision):
			return nil, fmt.Errorf("line %d: revision %q is not run", n, e.revision)
		case e.way != "*" && !slices.Contains(known, e.way):
			return nil, fmt.Errorf("line %d: the %s suite has no way %q", n, e.suite, e.way)
		}
		list = append(list, e)
	}
	return list, lines.Err()
}

func readExpected(t testing.TB) []expectation {
	t.Helper()
	f, err := os.Open("expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := parseExpected(f)
	if err != nil {
		t.Fatalf("expected.txt: %v", err)
	}
	return list
}

// judge splits what a run has shown: differences that no line of the list
// expects, and lines that cover this run and have no difference.
func judge(r run, found []difference, list []expectation) (unexpected []difference, stale []expectation) {
	used := map[int]bool{}
	for _, d := range found {
		ok := false
		for i, e := range list {
			if e.covers(r) && e.check == d.check && e.change == d.change {
				used[i], ok = true, true
			}
		}
		if !ok {
			unexpected = append(unexpected, d)
		}
	}
	for i, e := range list {
		if e.covers(r) && !used[i] {
			stale = append(stale, e)
		}
	}
	return unexpected, stale
}

// compare fails the test unless the differences are those of the list.
func compare(t testing.TB, r run, want, got results, list []expectation) {
	t.Helper()
	found := differences(want, got)
	unexpected, stale := judge(r, found, list)
	t.Logf("%s %s %s: %d checks, %d differ, %d unexpected, %d stale lines", r.suite, r.revision, r.way, len(got.checks), len(found), len(unexpected), len(stale))
	for _, d := range found {
		t.Logf("  %s %s %s: %s", d.Scenario, d.ID, d.change, d.message)
	}
	for _, d := range unexpected {
		t.Errorf("worse through the gateway, and not in expected.txt:\n%s %s %s %s %s %s REASON\n  the suite says: %s",
			r.suite, r.revision, r.way, d.Scenario, d.ID, d.change, d.message)
	}
	for _, e := range stale {
		t.Errorf("%v: there is no such difference on the way %q of %s any more, remove or narrow the line", e, r.way, r.revision)
	}
}

// table prints what each scenario came to, a column for each run.
func table(t testing.TB, names []string, runs []results) {
	t.Helper()
	var scenarios []string
	for _, r := range runs {
		for c := range r.checks {
			scenarios = append(scenarios, c.Scenario)
		}
	}
	slices.Sort(scenarios)
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "scenario\t%s\n", strings.Join(names, "\t"))
	for _, s := range slices.Compact(scenarios) {
		fmt.Fprint(w, s)
		for _, r := range runs {
			fmt.Fprintf(w, "\t%s", r.scenario(s))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	t.Logf("\n%s", text.String())
}
