package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/status"
)

// texts are what readers are told to do: the pages, and the explanation of every
// reason.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range append(pages, "../../README.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(page)] = string(text)
	}
	for _, r := range status.Reasons() {
		e, _ := status.Explain(r)
		all["the explanation of "+string(r)] = strings.Join([]string{e.Cause, e.Did, e.Do, e.Clients}, "\n")
	}
	return all
}

// commandLine finds a command in a code span or at the beginning of a line of code.
var commandLine = regexp.MustCompile("(?m)(?:`|^)(?:go run \\./cmd/)?recloser ([a-z][^`\\n#]*)")

func TestEveryCommandThatIsNamedExists(t *testing.T) {
	root := newRoot()
	found := 0
	for where, text := range texts(t) {
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			found++
			c, args, err := root.Find(strings.Fields(m[1]))
			if err != nil || c == root {
				t.Errorf("%s names a command that does not exist: recloser %s", where, m[1])
				continue
			}
			if err := c.ParseFlags(args); err != nil && !errors.Is(err, pflag.ErrHelp) {
				t.Errorf("%s names recloser %s: %v", where, m[1], err)
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d commands in all texts: the pattern does not find what it is for", found)
	}
}

// setting finds a key of a backend that a reader is told to look at or to change.
var setting = regexp.MustCompile(`mcpServers\.NAME\.([a-zA-Z][a-zA-Z0-9.]*[a-zA-Z0-9])`)

func TestEverySettingThatIsNamedExists(t *testing.T) {
	known := map[string]bool{}
	for _, k := range config.Reference() {
		path := k.Path
		if strings.HasPrefix(path, "auth.") {
			path = "mcpServers.NAME." + path
		}
		for path != "" { // a section is a key as well
			known[path] = true
			path = path[:max(0, strings.LastIndexByte(path, '.'))]
		}
	}
	found := 0
	for where, text := range texts(t) {
		for _, name := range setting.FindAllString(text, -1) {
			found++
			if !known[name] {
				t.Errorf("%s names a setting that does not exist: %s", where, name)
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d settings in all texts: the pattern does not find what it is for", found)
	}
}
