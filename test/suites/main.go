// Command suites runs make targets as the suites of make test: one after the
// other, and stops at the first that fails. Each argument is a step. A step with
// bars has lanes, which run beside each other:
//
//	go run ./test/suites build quick 'mutants fuzz | demo npm' race
//
// runs build, then quick, then mutants and after it fuzz while demo and then npm
// run, and when all four have passed, race. Suites that compute belong in one lane
// and those that wait for processes and clocks in another, so that no core is idle
// and none is wanted by two.
//
// A suite that is alone shows its output as it comes. One that has others beside it
// shows all of it when it ends, so that no two mix. When one fails, those beside it
// still run to their end, but nothing else begins. What each printed stays in
// test-artifacts. At the end is a table of what took how long, and below it, so that
// a log's last lines are the closing lines of go test, what the suite of Go tests
// that ended last printed about its packages.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	// Suites are in the same process group: an interrupt reaches them, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	steps, err := parse(os.Args[1:])
	if err == nil {
		r := &runner{make: cmp.Or(os.Getenv("MAKE"), "make"), logs: "test-artifacts", out: os.Stdout}
		err = r.run(ctx, steps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}
