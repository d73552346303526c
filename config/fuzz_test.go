package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

// Whatever the text, reading it ends without a panic, and what a variable holds
// is in nothing that is printed: neither problems, nor warnings, nor the document
// where it is secret.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, e := range effects {
		f.Add([]byte(e.text))
	}
	f.Add([]byte("a: &a [*a, *a]\nb: {<<: [*a, {c: d}]}"))
	f.Add([]byte(`{"mcpServers":{"${SECRET}":{"url":"${SECRET}","headers":{"${SECRET}":"${SECRET}"},"auth":{"use":"${SECRET}"}}}}`))
	f.Add([]byte("credentials: {x: {type: client_credentials, tokenURL: '${SECRET}', scopes: ['${SECRET}'], clientAuth: '${SECRET}', resource: '#${SECRET}'}}"))
	f.Add([]byte("telemetry: {otlp: '://${SECRET}'}\npublicURL: 'http://${SECRET}'\nallowedHosts: ['${SECRET}']"))

	const canary = "c4n4ry-7Qz%\x01\"-end"
	pieces := []string{"c4n4ry", "7Qz", "-end"}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, p := range pieces {
			if strings.Contains(string(text), p) {
				return
			}
		}
		doc, warnings, err := config.Parse("c.yaml", text, config.LoadOptions{
			// Every variable is set, so that the text gets far.
			Env: func(string) (string, bool) { return canary, true },
		})
		var out strings.Builder
		if err != nil {
			fmt.Fprintf(&out, "%s\n%+v\n", err, err)
			for _, p := range strings.Split(err.Error(), "\n") {
				if !strings.HasPrefix(p, "c.yaml:") {
					t.Errorf("a problem without its place: %q", p)
				}
			}
		}
		for _, w := range warnings {
			fmt.Fprintf(&out, "%s\n%+v\n", w, w)
		}
		if doc != nil {
			fmt.Fprintf(&out, "%+v\n", doc.Admin)
			for _, c := range doc.Credentials {
				fmt.Fprintf(&out, "%+v\n", c)
				src, err := auth.NewRegistry().New(c.Spec, auth.SourceOptions{})
				if err != nil {
					t.Errorf("%s held in the document and does not when it is made: %v", c.Key, err)
					continue
				}
				src.Close()
			}
			for _, b := range doc.Backends {
				if err := b.Options.Validate(); err != nil && !b.Disabled {
					t.Errorf("%s: %v", b.Name, err)
				}
			}
		}
		for _, p := range pieces {
			if strings.Contains(out.String(), p) {
				t.Errorf("%q is in\n%s", p, &out)
			}
		}
	})
}
