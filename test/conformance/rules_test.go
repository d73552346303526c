package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// made returns results of "scenario/check status..." lines.
func made(lines ...string) results {
	r := newResults()
	for _, l := range lines {
		f := strings.Fields(l)
		scenario, id, _ := strings.Cut(f[0], "/")
		for _, s := range f[1:] {
			for i := range statuses {
				if statuses[i].short == s {
					r.add(check{scenario, id}, i, s+" it is")
				}
			}
		}
	}
	return r
}

func TestWhatCountsAsADifference(t *testing.T) {
	for _, test := range []struct {
		name      string
		want, got []string
		change    string // "" when nothing is lost
	}{
		{"the same", []string{"s/c pass"}, []string{"s/c pass"}, ""},
		{"a failure", []string{"s/c pass"}, []string{"s/c fail"}, "pass>fail"},
		{"a warning", []string{"s/c pass"}, []string{"s/c warn"}, "pass>warn"},
		{"only information", []string{"s/c pass"}, []string{"s/c info"}, "pass>info"},
		{"skipped", []string{"s/c pass"}, []string{"s/c skip"}, "pass>skip"},
		{"never reported", []string{"s/c pass"}, nil, "pass>absent"},
		{"a failure out of nothing", nil, []string{"s/c fail"}, "absent>fail"},
		{"a failure instead of a warning", []string{"s/c warn"}, []string{"s/c fail"}, "warn>fail"},
		{"one of five lost", []string{"s/c pass pass pass pass pass"}, []string{"s/c pass pass pass pass"}, "pass*5>pass*4"},
		{"one of five failed", []string{"s/c pass pass pass pass pass"}, []string{"s/c pass pass fail pass pass"}, "pass*5>fail+pass*4"},
		{"one more failure", []string{"s/c fail"}, []string{"s/c fail fail"}, "fail>fail*2"},
		{"the backend fails too", []string{"s/c fail"}, []string{"s/c fail"}, ""},
		{"the gateway mends it", []string{"s/c fail"}, []string{"s/c pass"}, ""},
		{"more is reported", nil, []string{"s/c pass"}, ""},
		{"less information", []string{"s/c info info"}, []string{"s/c info"}, ""},
		{"information is gone", []string{"s/c info"}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := differences(made(test.want...), made(test.got...))
			switch {
			case test.change == "" && len(got) != 0:
				t.Errorf("a difference: %+v", got)
			case test.change != "" && (len(got) != 1 || got[0].change != test.change):
				t.Errorf("%+v, want %s", got, test.change)
			}
		})
	}
}

const sample = `
# a comment
server * * s c pass>info  lists are answered at once
server 2025-11-25 one s d pass>fail  because
client 2026-07-28 * s c pass>fail  why not
`

func TestEveryDifferenceHasALineAndEveryLineADifference(t *testing.T) {
	list, err := parseExpected(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	c, d := difference{check{"s", "c"}, "pass>info", ""}, difference{check{"s", "d"}, "pass>fail", ""}
	worse := d
	worse.change = "pass>absent"
	for _, test := range []struct {
		name       string
		run        run
		found      []difference
		unexpected []difference
		stale      []int // lines
	}{
		{"all expected", run{"server", "2025-11-25", "one"}, []difference{c, d}, nil, nil},
		{"another way needs no line of this one", run{"server", "2025-11-25", "all"}, []difference{c}, nil, nil},
		{"expected on one way only", run{"server", "2025-11-25", "all"}, []difference{c, d}, []difference{d}, nil},
		{"mended", run{"server", "2025-11-25", "one"}, []difference{c}, nil, []int{4}},
		{"mended on one of all ways", run{"server", "2026-07-28", "one"}, nil, nil, []int{3}},
		{"another change", run{"server", "2025-11-25", "one"}, []difference{c, worse}, []difference{worse}, []int{4}},
		{"the other suite", run{"client", "2026-07-28", "bridged"}, []difference{c}, []difference{c}, []int{5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			unexpected, stale := judge(test.run, test.found, list)
			var lines []int
			for _, e := range stale {
				lines = append(lines, e.line)
			}
			if diff := cmp.Diff(test.unexpected, unexpected, cmp.AllowUnexported(difference{})); diff != "" {
				t.Errorf("unexpected (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stale, lines); diff != "" {
				t.Errorf("stale (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALineThatCannotMatchIsAnError(t *testing.T) {
	for _, line := range []string{
		"server 2025-11-25 one s c pass>fail",           // no reason
		"proxy 2025-11-25 one s c pass>fail reason",     // no such suite
		"server 2024-11-05 one s c pass>fail reason",    // not run
		"server 2025-11-25 direct s c pass>fail reason", // no such way
	} {
		if list, err := parseExpected(strings.NewReader(line)); err == nil {
			t.Errorf("%q was read as %+v", line, list)
		}
	}
}

func TestTheListCanBeRead(t *testing.T) { readExpected(t) }

func TestResultsAreReadFromTheFoldersOfTheSuite(t *testing.T) {
	dir := t.TempDir()
	write := func(folder, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(folder))
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "checks.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("server-server-initialize-2026-01-02T03-04-05-006Z", `[{"id":"a","status":"SUCCESS"},{"id":"a","status":"FAILURE","errorMessage":"no"},{"id":"a","status":"SUCCESS"}]`)
	write("server-ping-2026-01-02T03-04-05-006Z", `[{"id":"a","status":"INFO"},{"id":"a","status":"INFO"}]`)
	r := newResults()
	r.read(t, dir, "server")
	got := map[check]string{}
	for c, y := range r.checks {
		got[c] = y.String()
	}
	want := map[check]string{{"server-initialize", "a"}: "fail+pass*2", {"ping", "a"}: "info"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m := r.messages[check{"server-initialize", "a"}]; m != "no" {
		t.Errorf("message %q", m)
	}
}
