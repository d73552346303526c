// Package conformance runs the official conformance suite of the protocol and
// compares: what passes without the gateway has to pass through it.
//
// As a server suite it judges the conformance server of the official Go SDK, by
// itself and behind the gateway. As a client suite it judges a small client,
// connected directly and through the gateway; there its checks see what the
// gateway sends to a backend.
//
// expected.txt lists every difference there is, with the reason. A difference
// that is not in the list fails the test, and so does a line of the list without
// a difference.
package conformance

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// check names a check of a scenario. A scenario may report it several times.
type check struct{ Scenario, ID string }

// statuses of a check, the most severe first.
var statuses = [...]struct{ said, short string }{
	{"FAILURE", "fail"}, {"WARNING", "warn"}, {"SUCCESS", "pass"}, {"SKIPPED", "skip"}, {"INFO", "info"},
}

const (
	fail = iota
	warn
	pass
	skip
	info
)

// tally counts how often a check ended with each status.
type tally [len(statuses)]int

// String is like "pass" or "fail+pass*4", and "absent" for a check that was not
// reported. Information is not counted: how much there is depends on timing.
func (y tally) String() string {
	var parts []string
	for i, n := range y {
		switch {
		case n > 1 && i != info:
			parts = append(parts, statuses[i].short+"*"+strconv.Itoa(n))
		case n > 0:
			parts = append(parts, statuses[i].short)
		}
	}
	if parts == nil {
		return "absent"
	}
	return strings.Join(parts, "+")
}

// results are what the suite found out in one run.
type results struct {
	checks   map[check]tally
	messages map[check]string // of the first occurrence that did not pass
}

func newResults() results {
	return results{checks: map[check]tally{}, messages: map[check]string{}}
}

func (r results) add(c check, status int, message string) {
	y := r.checks[c]
	y[status]++
	r.checks[c] = y
	if _, ok := r.messages[c]; !ok && status != pass {
		r.messages[c] = message
	}
}

// stamp is what the suite appends to the name of a scenario's folder.
var stamp = regexp.MustCompile(`-\d{4}-\d\d-\d\dT[-0-9]+Z$`)

// read adds the checks that the suite wrote below dir: a checks.json in a folder
// that is named for the mode, where that is the server's, for the scenario and
// for the time.
func (r results) read(t testing.TB, dir, mode string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "checks.json" {
			return err
		}
		scenario, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		scenario = stamp.ReplaceAllString(filepath.ToSlash(scenario), "")
		if mode == "server" {
			scenario = strings.TrimPrefix(scenario, "server-")
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var checks []struct{ ID, Status, ErrorMessage string }
		if err := json.Unmarshal(data, &checks); err != nil {
			return err
		}
		for _, c := range checks {
			status := -1
			for i := range statuses {
				if statuses[i].said == c.Status {
					status = i
				}
			}
			if status < 0 {
				t.Errorf("%s: check %s has the unknown status %q", scenario, c.ID, c.Status)
				continue
			}
			r.add(check{scenario, c.ID}, status, c.ErrorMessage)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scenario sums up the checks of one scenario.
func (r results) scenario(name string) (sum tally) {
	for c, y := range r.checks {
		if c.Scenario == name {
			for i, n := range y {
				sum[i] += n
			}
		}
	}
	return sum
}
