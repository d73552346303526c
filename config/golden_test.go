package config_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/config"
)

var goldenVars = map[string]string{
	"SECRET": "s3cr3t-canary-value", "SHORT": "xyz", "NUMBER": "77",
	"LINEAR_TOKEN": "s3cr3t-canary-value", "SENTRY_TOKEN": "s3cr3t-canary-value",
}

// Whole files with everything that is printed about them: every problem at once
// in the order of the text, warnings, and what the gateway would serve.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if ext := filepath.Ext(path); ext != ".yaml" && ext != ".json" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			doc, warnings, err := config.Load(path, config.LoadOptions{Env: environment(goldenVars)})
			var b strings.Builder
			for _, w := range warnings {
				fmt.Fprintf(&b, "warning: %s\n", w)
			}
			if err != nil {
				fmt.Fprintln(&b, err)
			} else {
				for _, s := range doc.Backends {
					fmt.Fprintf(&b, "serves: %s as %s at %s headers %v credential %q disabled %v\n",
						s.Name, s.Slug, cmp.Or(s.Options.URL, s.CommandLine), s.Options.Headers, s.Credential, s.Disabled)
				}
			}
			got := strings.ReplaceAll(b.String(), here, "DIR")
			for _, secret := range []string{"s3cr3t", "canary", "hunter", "xyz", "77"} {
				if strings.Contains(got, secret) {
					t.Errorf("%q is in the output", secret)
				}
			}
			if *update {
				if err := os.WriteFile(path+".want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if d := diff.Diff(string(want), got); d != "" {
				t.Errorf("output (-want +got):\n%s", d)
			}
		})
	}
}
