package main

import (
	"errors"
	"flag"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/test/leak"
)

var update = flag.Bool("update", false, "write what the commands print into testdata/script")

// TestMain makes the command recloser: scripts and tests run it as a process of
// its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"recloser": main})
}

// TestScripts is the specification of the commands: what is printed where, and
// the exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			s, err := backendtest.StartServer()
			if err != nil {
				return err
			}
			e.Defer(s.Close)
			e.Values[backendKey{}] = s
			e.Setenv("BACKEND", s.URL)
			e.Values[gatewayKey{}] = new(fakeGateway)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "taken": taken, "requests": requests, "hides": hides,
			"gateway": startFake, "posted": posted,
		},
	})
}

type backendKey struct{}

// exits CODE COMMAND [ARG...] runs a command that has to end with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, ended := 0, (*exec.ExitError)(nil)
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// taken NAME puts an address into the variable NAME that somebody listens on for
// as long as the script runs.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: taken NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// requests N wants that many requests at the backend whose URL is BACKEND.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: requests N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := ts.Value(backendKey{}).(*backendtest.Server).Requests(""); got != want {
		ts.Fatalf("%d requests at the backend, want %d", got, want)
	}
}

// hides FILE N wants at least N tokens in the file, one a line, and none of them in
// what the last command printed, in any form.
func hides(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hides FILE N")
	}
	least, err := strconv.Atoi(args[1])
	ts.Check(err)
	tokens := strings.Fields(ts.ReadFile(args[0]))
	if len(tokens) < least {
		ts.Fatalf("%d tokens in %s, want %d at least", len(tokens), args[0], least)
	}
	for _, out := range []string{"stdout", "stderr"} {
		for _, hit := range leak.Find([]byte(ts.ReadFile(out)), tokens...) {
			ts.Fatalf("%s shows a credential: %s", out, hit)
		}
	}
}
