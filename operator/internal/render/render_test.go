package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kyaml "sigs.k8s.io/yaml"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

var update = flag.Bool("update", false, "write the golden files")

// load reads a gateway with its backends. The address of a Service is that which the
// controller would find.
func load(t *testing.T, file string) render.Gateway {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g := render.Gateway{Backends: map[string]render.Tree{}, Credentials: map[string]render.Tree{}, Options: render.Options{Image: "recloser:test", OperatorNamespace: "recloser-system"}}
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			break
		}
		if bytes.Contains(raw, []byte(`"VirtualMCPServer"`)) {
			g.Resource = &v1alpha1.VirtualMCPServer{}
			strictly(t, raw, g.Resource)
			continue
		}
		b := &v1alpha1.MCPBackend{}
		strictly(t, raw, b)
		url := b.Spec.URL
		if b.Spec.ServiceRef != nil {
			url = "http://" + b.Spec.ServiceRef.Name + ".team.svc:80" + b.Spec.ServiceRef.Path
		}
		g.Backends[b.Name] = render.Backend(b, url)
	}
	for name, c := range g.Resource.Spec.Credentials {
		g.Credentials[name] = render.Credential(c)
	}
	if a := g.Resource.Spec.IncomingAuth; a != nil {
		g.Tokens = a.Tokens
	}
	return g
}

func strictly(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := kyaml.UnmarshalStrict(raw, into); err != nil {
		t.Fatal(err)
	}
}

// What is rendered of each example is what is committed, and the gateway's own rules
// accept it.
func TestGolden(t *testing.T) {
	for _, name := range []string{"small", "everything"} {
		t.Run(name, func(t *testing.T) {
			g := load(t, filepath.Join("testdata", name+".yaml"))
			doc := render.Document(g)
			if err := render.Check(doc, nil); err != nil {
				t.Errorf("the gateway refuses the document: %v", err)
			}
			objects := []client.Object{render.ConfigMap(g, doc), render.Deployment(g, doc, render.ReferencesOf(doc)), render.Service(g), render.NetworkPolicy(g), render.ServiceMonitor(g)}
			if render.NeedsDisruptionBudget(g) {
				objects = append(objects, render.DisruptionBudget(g))
			}
			var out strings.Builder
			for _, o := range objects {
				text, err := kyaml.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString("---\n" + string(text))
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("run go test -update and look at the difference (-want +got):\n%s", diff)
			}
			again, err := render.Read(render.YAML(doc))
			if err != nil {
				t.Fatal(err)
			}
			if render.YAML(again) != render.YAML(doc) {
				t.Error("a document that was read again is written otherwise")
			}
		})
	}
}

// A running gateway takes up what needs no other pod, and what needs one changes the pod
// template, setting by setting as config.CanFollow judges.
func TestRestartsWhereTheGatewayCannotFollow(t *testing.T) {
	base := load(t, "testdata/everything.yaml")
	parse := func(g render.Gateway) *config.Document {
		t.Helper()
		for _, b := range g.Backends {
			delete(b, "tls")
		}
		text := render.YAML(render.Document(g))
		for _, ref := range render.ReferencesOf(render.Document(g)).Secrets {
			text = strings.ReplaceAll(text, "${file:"+render.SecretPath(ref)+"}", "sha256:"+strings.Repeat("2", 64))
		}
		doc, _, err := config.Parse("x.yaml", []byte(text), config.LoadOptions{Env: func(string) (string, bool) { return "127.0.0.1", true }})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	template := func(g render.Gateway) string {
		return render.Deployment(g, render.Document(g), render.References{}).Spec.Template.Annotations[render.RestartAnnotation]
	}
	restarts := 0
	for name, change := range map[string]func(*render.Gateway, *v1alpha1.VirtualMCPServerSpec){
		"nothing":       func(*render.Gateway, *v1alpha1.VirtualMCPServerSpec) {},
		"catalog":       func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Catalog.MaxNameLength = 64 },
		"health":        func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Health.Interval = "11s" },
		"sessions":      func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Sessions.TTL = "2h" },
		"telemetry":     func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Telemetry.ServiceName = "other" },
		"max sessions":  func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Limits.Sessions = 5 },
		"request bytes": func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Limits.RequestBytes = "2MiB" },
		"log level":     func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Log.Level = "warn" },
		"log format":    func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.Log.Format = "text" },
		"public URL":    func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.PublicURL = "https://x.example.com" },
		"drain":         func(_ *render.Gateway, s *v1alpha1.VirtualMCPServerSpec) { s.DrainTimeout = "5s" },
		"listen":        func(g *render.Gateway, _ *v1alpha1.VirtualMCPServerSpec) { g.Options.BindPodIP = true },
		"a backend":     func(g *render.Gateway, _ *v1alpha1.VirtualMCPServerSpec) { delete(g.Backends, "docs") },
		"tokens":        func(g *render.Gateway, _ *v1alpha1.VirtualMCPServerSpec) { g.Tokens = nil },
	} {
		t.Run(name, func(t *testing.T) {
			g := load(t, "testdata/everything.yaml")
			change(&g, &g.Resource.Spec)
			follows := parse(g).CanFollow(parse(base)) == nil
			if same := template(g) == template(base); same != follows {
				t.Errorf("the gateway can follow: %v, and the pod template is the same: %v", follows, same)
			}
			if !follows {
				restarts++
			}
		})
	}
	if restarts != 5 {
		t.Errorf("%d of the changes need a restart, 5 were expected to", restarts)
	}
}

// No text of a user reads a variable or a file of the gateway's pod.
func TestTextsMeanThemselves(t *testing.T) {
	for _, text := range []string{"${HOME}", "${file:/run/secrets/recloser/other/key}", "$${X}", "a$${file:x}b${"} {
		b := &v1alpha1.MCPBackend{}
		b.Name = "a"
		b.Spec.URL = "https://example.com"
		b.Spec.Headers = map[string]v1alpha1.HeaderText{"X-Text": v1alpha1.HeaderText(text)}
		entry := render.Backend(b, b.Spec.URL)
		if refs := render.ReferencesOf(entry); len(refs.Secrets) > 0 {
			t.Errorf("%q is taken for a reference to %v", text, refs.Secrets)
		}
		doc, _, err := config.Parse("x.yaml", []byte(render.YAML(render.Tree{"mcpServers": render.Tree{"a": entry}})),
			config.LoadOptions{Env: func(string) (string, bool) { return "read", true }})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := doc.Backends[0].Options.Headers["X-Text"]; got != text {
			t.Errorf("%q came to the gateway as %q", text, got)
		}
	}
}

// A secret that the gateway would refuse is found before a gateway gets it, and is not
// told.
func TestCheckReadsSecrets(t *testing.T) {
	const secret = "hush hush\nhush"
	b := &v1alpha1.MCPBackend{}
	b.Name = "a"
	b.Spec.Auth = &v1alpha1.BackendAuth{Type: "bearer", CredentialSettings: v1alpha1.CredentialSettings{
		Token: &v1alpha1.SecretValue{SecretKeyRef: v1alpha1.SecretKeyRef{Name: "s", Key: "k"}}}}
	entry := render.Backend(b, "https://example.com")
	for value, good := range map[string]bool{"fine": true, "fine\n": true, "": false, secret: false, "${X}": true} {
		err := render.CheckBackend("a", entry, nil, func(r v1alpha1.SecretKeyRef) (string, bool) { return value, r.Name == "s" && r.Key == "k" })
		if (err == nil) != good {
			t.Errorf("%q: %v, want it accepted: %v", value, err, good)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// Backends go on coming and going while the rest of a spec is refused, and the document that
// is kept stays what it was.
func TestWithBackendsOf(t *testing.T) {
	g := load(t, "testdata/everything.yaml")
	former := render.Document(g)
	before := render.YAML(former)
	delete(g.Backends, "tickets")
	g.Backends["new"] = render.Tree{"url": "https://new.example.com"}
	g.Resource.Spec.Health.Interval = "1ms"
	got := render.WithBackendsOf(former, render.Document(g))
	if err := render.Check(got, nil); err != nil {
		t.Error(err)
	}
	entries := render.Entries(got, "mcpServers")
	if health, _ := got["health"].(render.Tree); health["interval"] != "10s" || entries["new"] == nil || entries["tickets"] != nil {
		t.Errorf("the document is\n%s", render.YAML(got))
	}
	if catalog, _ := got["catalog"].(render.Tree); len(catalog["priority"].([]any)) != 1 {
		t.Errorf("the priority is %v", catalog["priority"])
	}
	if render.YAML(former) != before {
		t.Errorf("the former document was changed:\n%s", render.YAML(former))
	}
	if render.WithBackendsOf(nil, got) != nil {
		t.Error("there is a document where there was none")
	}
}
