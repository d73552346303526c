//go:build !race

package recloser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/recloser-mcp/recloser"

// floors are the rooms of the house, the lowest first. A package may import what
// is on lower floors; rooms on one floor do not see each other. A folder below a
// room belongs to it.
var floors = [][]string{
	{"auth", "guard", "status", "wire"},
	{"backend"},
	{"caller", "catalog", "health", "journal", "session", "telemetry"},
	{"admin", "gateway"},
	{"config"},
	{"doctor", "server"},
	{"cmd"},
}

// beside are folders outside the house. backendtest is public and stands alone;
// nothing that is shipped imports the others.
var beside = []string{"backendtest", "bench", "test"}

// floor2a is the first floor on which the libraries of kept may appear at all.
const floor2a = 2

// kept are libraries that few rooms may import, and nobody below floor 2a may
// depend on, not even through others.
var kept = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"k8s.io/", nil, "Kubernetes belongs to the operator, which has a go.mod of its own"},
	{"sigs.k8s.io/", nil, "Kubernetes belongs to the operator, which has a go.mod of its own"},
	{"github.com/prometheus/", []string{"telemetry"}, "a user of the library must not get a metrics library with it: report through backend.Trace"},
	{"go.opentelemetry.io/", []string{"telemetry"}, "a user of the library must not get a tracing library with it: report through backend.Trace"},
	{"github.com/spf13/", []string{"cmd"}, "flags and commands are the binary's business: take an options struct"},
	{"github.com/mark3labs/", []string{"backendtest", "bench", "test"}, "the second MCP library is there to be tested against, not to be shipped"},
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// room is the first folder of a package of ours, "" for the root package, and
// false for a package of others.
func room(path string) (string, bool) {
	if path == module {
		return "", true
	}
	rest, ours := strings.CutPrefix(path, module+"/")
	first, _, _ := strings.Cut(rest, "/")
	return first, ours
}

func floorOf(room string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room) })
}

func floorName(i int) string {
	return []string{"0", "1", "2a", "2b", "3", "4", "5"}[i]
}

// packages lists ours and everything they depend on. Test files are not looked at.
func packages(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string]pkg)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func TestImportsOnlyPointDown(t *testing.T) {
	for path, p := range packages(t) {
		from, ours := room(path)
		if !ours || from == "" {
			continue
		}
		for _, to := range p.Imports {
			if target, ours := room(to); ours {
				if problem := judgeImport(from, target); problem != "" {
					t.Errorf("%s imports %s: %s", short(path), short(to), problem)
				}
			}
		}
		if floorOf(from) < 0 && !slices.Contains(beside, from) {
			t.Errorf("%s has no floor: decide which packages it may see, then add %q to floors in floors_test.go and to the drawing in docs/architecture.md", short(path), from)
		}
	}
}

// judgeImport says what is wrong with an import between two rooms, and how to
// mend it; "" when nothing is.
func judgeImport(from, to string) string {
	f, g := floorOf(from), floorOf(to)
	switch {
	case from == to:
		return ""
	case from == "backendtest":
		return "backendtest imports nothing of ours, so that it can test anything: pass what it needs as an option"
	case slices.Contains(beside, from):
		return "" // tools and benchmarks may look at everything
	case to == "backendtest" && from != "cmd":
		return "backendtest is for tests and for the demo: import it in a _test.go file"
	case slices.Contains(beside, to) && to != "backendtest":
		return "what is shipped does not depend on test tools: move what it needs into a package on a floor"
	case f < 0 || g < 0:
		return "" // reported as a package without a floor
	case f == g:
		return fmt.Sprintf("both are on floor %s, and rooms on one floor do not see each other: what the two share belongs a floor below, or is passed in by server", floorName(f))
	case f < g:
		return fmt.Sprintf("floor %s must not know floor %s: declare a one-method interface or a func where you need it, and let the upper floor pass it in", floorName(f), floorName(g))
	}
	return ""
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	all := packages(t)
	for path, p := range all {
		from, ours := room(path)
		if !ours {
			continue
		}
		for _, to := range p.Imports {
			for _, k := range kept {
				if strings.HasPrefix(to, k.prefix) && !slices.Contains(k.rooms, from) {
					t.Errorf("%s imports %s, which only %v may: %s", short(path), to, k.rooms, k.why)
				}
			}
		}
		if f := floorOf(from); f < 0 || f >= floor2a {
			continue
		}
		for _, k := range kept {
			if chain := chainTo(all, path, k.prefix); chain != nil {
				t.Errorf("%s is below floor 2a and depends on %s through %s: %s", short(path), k.prefix, strings.Join(chain, " -> "), k.why)
			}
		}
	}
}

// chainTo returns the shortest chain of imports from a package to one with the
// prefix, nil when there is none.
func chainTo(all map[string]pkg, from, prefix string) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if strings.HasPrefix(at, prefix) {
			var chain []string
			for ; at != ""; at = before[at] {
				chain = append(chain, short(at))
			}
			slices.Reverse(chain)
			return chain
		}
		for _, to := range all[at].Imports {
			if _, seen := before[to]; !seen {
				before[to] = at
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

// The rules themselves, so that a slip in them does not go unnoticed.
func TestJudgeImport(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     string // in the complaint; "" when the import is fine
	}{
		{"backend", "guard", ""},
		{"cmd", "auth", ""},
		{"cmd", "backendtest", ""},
		{"test", "gateway", ""},
		{"bench", "backendtest", ""},
		{"gateway", "gateway", ""},
		{"guard", "backend", "must not know floor 1"},
		{"guard", "auth", "both are on floor 0"},
		{"catalog", "session", "both are on floor 2a"},
		{"gateway", "config", "must not know floor 3"},
		{"gateway", "backendtest", "_test.go"},
		{"server", "test", "test tools"},
		{"backendtest", "wire", "imports nothing of ours"},
	} {
		got := judgeImport(test.from, test.to)
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s imports %s: %q, want %q", test.from, test.to, got, test.want)
		}
	}
}

func TestChainTo(t *testing.T) {
	all := map[string]pkg{
		"a": {Imports: []string{"b", "c"}},
		"b": {Imports: []string{"a"}},
		"c": {Imports: []string{"k8s.io/x"}},
	}
	if got := strings.Join(chainTo(all, "a", "k8s.io/"), " "); got != "a c k8s.io/x" {
		t.Errorf("chain %q", got)
	}
	if got := chainTo(all, "a", "github.com/"); got != nil {
		t.Errorf("chain %q to nothing", got)
	}
}
