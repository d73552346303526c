package config_test

import (
	"flag"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md and the .want files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment makes an Env of a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// parse reads a document under the name c.yaml and returns the problems as lines.
func parse(t *testing.T, text string, vars map[string]string) (*config.Document, []config.Warning, []string) {
	t.Helper()
	doc, warnings, err := config.Parse("c.yaml", []byte(text), config.LoadOptions{Env: environment(vars)})
	if err == nil {
		if doc == nil {
			t.Fatal("neither a document nor an error")
		}
		return doc, warnings, nil
	}
	if doc != nil {
		t.Error("a document beside an error")
	}
	return nil, warnings, strings.Split(err.Error(), "\n")
}

// good reads a document that has to hold.
func good(t *testing.T, text string, vars map[string]string) *config.Document {
	t.Helper()
	doc, _, problems := parse(t, text, vars)
	if problems != nil {
		t.Fatalf("%s\nin\n%s", strings.Join(problems, "\n"), text)
	}
	return doc
}
