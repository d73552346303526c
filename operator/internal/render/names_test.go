package render_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/telemetry"
)

// names are the keys of a struct, inlined ones included.
func names(t reflect.Type, tag string) map[string]bool {
	out := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get(tag), ",")
		switch {
		case rest == "inline":
			for n := range names(f.Type, tag) {
				out[n] = true
			}
		case name != "" && name != "-":
			out[name] = true
		}
	}
	return out
}

// Every setting of the configuration has its field in the resources, under the same name,
// or stands here with the reason why not: none is forgotten, and none is made up.
func TestResourcesHaveTheSettingsOfTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		ours, theirs any
		// left out of the resource; added by it
		without, beside []string
	}{
		{ours: v1alpha1.AuthRetry{}, theirs: guard.Options{}},
		{ours: v1alpha1.Timeouts{}, theirs: backend.Timeouts{}},
		{ours: v1alpha1.Rules{}, theirs: catalog.Rules{}},
		{ours: v1alpha1.URIRules{}, theirs: catalog.URIRules{}},
		{ours: v1alpha1.Catalog{}, theirs: catalog.Options{}},
		{ours: v1alpha1.Health{}, theirs: health.Options{}},
		{ours: v1alpha1.Sessions{}, theirs: session.Options{}},
		{ours: v1alpha1.Telemetry{}, theirs: telemetry.Options{}},
		{ours: v1alpha1.IncomingAuth{}, theirs: caller.Options{}},
		{ours: v1alpha1.Limits{}, theirs: config.Limits{}},
		{ours: v1alpha1.Log{}, theirs: config.Log{}},
		{ours: v1alpha1.MCPBackendSpec{}, theirs: struct {
			backend.Options   `yaml:",inline"`
			catalog.Selection `yaml:",inline"`
		}{},
			// A process is no matter of a cluster: it would have to be in the gateway's image.
			without: []string{"command", "args", "env", "cwd"},
			// auth, type and disabled are keys of the document that package config has.
			beside: []string{"serviceRef", "auth", "type", "disabled"}},
		{ours: v1alpha1.CredentialSettings{}, theirs: struct {
			auth.BearerOptions            `yaml:",inline"`
			auth.HeaderOptions            `yaml:",inline"`
			auth.ClientCredentialsOptions `yaml:",inline"`
		}{}},
	} {
		ours, theirs := names(reflect.TypeOf(c.ours), "json"), names(reflect.TypeOf(c.theirs), "yaml")
		for _, n := range c.without {
			if !theirs[n] {
				t.Errorf("%T: %s is no setting that could be left out", c.ours, n)
			}
			delete(theirs, n)
		}
		for _, n := range c.beside {
			delete(ours, n)
		}
		for n := range theirs {
			if !ours[n] {
				t.Errorf("%T has no field %s, which is a setting of the configuration", c.ours, n)
			}
		}
		for n := range ours {
			if !theirs[n] {
				t.Errorf("%T has a field %s, which is no setting of the configuration", c.ours, n)
			}
		}
	}
}
