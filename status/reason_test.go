package status_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/status"
)

var update = flag.Bool("update", false, "write docs/errors.md")

// commands are those of the binary that a fix may name.
var commands = []string{"backend", "config", "doctor", "events", "reload", "serve", "status", "validate"}

var all = []status.Reason{
	"ok", "connecting", "auth_refused", "auth_forbidden", "scope_missing", "grant_expired", "renewal_unavailable",
	"breaker_open", "unreachable", "tls_failed", "timeout", "server_error", "protocol_error", "no_tools",
	"process_exited", "disabled",
}

func TestEveryReasonIsExplained(t *testing.T) {
	if got := status.Reasons(); !slices.Equal(got, all) {
		t.Errorf("reasons are %v, want %v: the codes are stable", got, all)
	}
	for _, r := range all {
		e, ok := status.Explain(r)
		if !ok {
			t.Errorf("%s is not explained", r)
			continue
		}
		if e.Cause == "" || e.Did == "" {
			t.Errorf("%s: cause %q, did %q", r, e.Cause, e.Did)
		}
		if (e.Clients == "") != (r == status.ReasonOK) {
			t.Errorf("%s: clients see %q", r, e.Clients)
		}
		if e.Do == "" && r != status.ReasonOK && r != status.ReasonConnecting {
			t.Errorf("%s does not say what the reader does", r)
		}
		filled := e.For("weather")
		if strings.Contains(filled.Cause+filled.Did+filled.Do+filled.Clients, "NAME") {
			t.Errorf("%s: For left NAME in %+v", r, filled)
		}
		if strings.Contains(e.Cause, "NAME") && !strings.Contains(filled.Cause, "weather") {
			t.Errorf("%s: For did not fill the name in: %q", r, filled.Cause)
		}
	}
	if _, ok := status.Explain("no_such_reason"); ok {
		t.Error("a reason that does not exist is explained")
	}
}

// A command in a fix can be pasted into a shell, whatever the backend is called.
func TestCommandsAreGoodForAShell(t *testing.T) {
	e := status.Explanation{Cause: "NAME is `x`.", Do: "Look at NAME: run `recloser doctor NAME`, then `recloser reload`."}
	for name, want := range map[string]string{
		"weather":   "Look at weather: run `recloser doctor weather`, then `recloser reload`.",
		"my server": "Look at my server: run `recloser doctor 'my server'`, then `recloser reload`.",
		"it's":      "Look at it's: run `recloser doctor 'it'\\''s'`, then `recloser reload`.",
		"$(x)":      "Look at $(x): run `recloser doctor '$(x)'`, then `recloser reload`.",
	} {
		if got := e.For(name).Do; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestEveryFixNamesACommandThatExists(t *testing.T) {
	quoted := regexp.MustCompile("`([^`]*)`")
	for _, r := range status.Reasons() {
		e, _ := status.Explain(r)
		for _, m := range quoted.FindAllStringSubmatch(e.Do+e.Did+e.Cause+e.Clients, -1) {
			words := strings.Fields(m[1])
			if len(words) < 2 || words[0] != "recloser" || !slices.Contains(commands, words[1]) {
				t.Errorf("%s tells the reader to run %q, which is no command of recloser: %v", r, m[1], commands)
			}
		}
	}
}

// TestErrorsPage keeps docs/errors.md the same as what the program says.
func TestErrorsPage(t *testing.T) {
	const path = "../docs/errors.md"
	var page bytes.Buffer
	page.WriteString("<!-- Made from package status by `make generate`. -->\n\n# Reasons\n\n" +
		"Each status of a backend, and each error of a call, has a reason from this list. The codes are stable.\n" +
		"`NAME` stands for the backend's name in the configuration, `FILE` for the configuration itself.\n")
	for _, r := range status.Reasons() {
		e, _ := status.Explain(r)
		fmt.Fprintf(&page, "\n## %s\n", r)
		for _, p := range e.Parts() {
			fmt.Fprintf(&page, "\n**%s.** %s\n", p.Label, p.Text)
		}
	}
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s is not what package status says: run make generate", path)
	}
}
