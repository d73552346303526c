package controller_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// What cannot be is refused when it is applied, with a message that says the fix. What can
// be is not.
func TestRefusedAtApply(t *testing.T) {
	c := suite.Start(t)
	ns := c.Namespace(t)
	for _, test := range []struct {
		name, kind, spec string
		want             string // in the message; "" when it is fine
	}{
		{"a url", "MCPBackend", `{url: "https://a.example.com/mcp"}`, ""},
		{"no address", "MCPBackend", `{}`, "give url, or serviceRef"},
		{"two addresses", "MCPBackend", `{url: "https://a", serviceRef: {name: a}}`, "remove one of them"},
		{"credentials in the url", "MCPBackend", `{url: "https://me:pw@a.example.com"}`, "move credentials to auth"},
		{"no url", "MCPBackend", `{url: "a.example.com"}`, "write https://host/path"},
		{"a secret in a header", "MCPBackend", `{url: "https://a", headers: {Authorization: "Bearer x"}}`, "put the value into a Secret"},
		{"a secret in a header of another name", "MCPBackend", `{url: "https://a", headers: {X-Api-Key: "x"}}`, "put the value into a Secret"},
		{"a header", "MCPBackend", `{url: "https://a", headers: {X-Tenant: "x"}}`, ""},
		{"whenOpen", "MCPBackend", `{url: "https://a", authRetry: {whenOpen: explode}}`, `supported values: "pass", "reject"`},
		{"too many retries", "MCPBackend", `{url: "https://a", authRetry: {maxRetries: 4}}`, "less than or equal to 3"},
		{"a duration", "MCPBackend", `{url: "https://a", timeouts: {connect: "1m30s", idle: "0"}}`, ""},
		{"no duration", "MCPBackend", `{url: "https://a", timeouts: {connect: "soon"}}`, "such as 500ms, 30s or 5m"},
		{"a number for a duration", "MCPBackend", `{url: "https://a", timeouts: {connect: "5"}}`, "such as 500ms, 30s or 5m"},
		{"bearer without token", "MCPBackend", `{url: "https://a", auth: {type: bearer}}`, "add token: {secretKeyRef"},
		{"a plain token", "MCPBackend", `{url: "https://a", auth: {type: bearer, token: abc}}`, "must be of type object"},
		{"headers of bearer", "MCPBackend", `{url: "https://a", auth: {type: bearer, token: {secretKeyRef: {name: a, key: b}}, headers: {X: {secretKeyRef: {name: a, key: b}}}}}`, "headers belongs to type header"},
		{"neither type nor use", "MCPBackend", `{url: "https://a", auth: {}}`, "give one of type"},
		{"type and use", "MCPBackend", `{url: "https://a", auth: {type: unauthenticated, use: b}}`, "give one of type"},
		{"use with scopes", "MCPBackend", `{url: "https://a", auth: {use: b, scopes: [x]}}`, ""},
		{"half a client", "MCPBackend", `{url: "https://a", auth: {type: client_credentials, clientID: x}}`, "needs tokenURL, clientID and clientSecret"},
		{"an unknown type", "MCPBackend", `{url: "https://a", auth: {type: magic}}`, `supported values: "bearer"`},
		{"a credential in the clear", "MCPBackend", `{url: "http://a", auth: {use: b}}`, "allowInsecure: true"},
		{"a credential in the clear on purpose", "MCPBackend", `{url: "http://a", auth: {use: b}, allowInsecure: true}`, ""},
		{"a credential on this machine", "MCPBackend", `{url: "http://127.0.0.1:80", auth: {use: b}}`, ""},
		{"a credential in the clear to a Service", "MCPBackend", `{serviceRef: {name: a}, auth: {use: b}}`, "serviceRef.scheme: https"},
		{"a Service with https", "MCPBackend", `{serviceRef: {name: a, port: 443, scheme: https}, auth: {use: b}}`, ""},
		{"tls on http", "MCPBackend", `{url: "http://a", tls: {}}`, "use https, or remove tls"},
		{"a pin that is none", "MCPBackend", `{url: "https://a", tools: {pin: {a: abc}}}`, "sha256:"},
		{"an unknown key", "MCPBackend", `{url: "https://a", colour: red}`, "unknown field"},
		{"a selector", "VirtualMCPServer", `{backendSelector: {}}`, ""},
		{"no backends", "VirtualMCPServer", `{}`, "give backendSelector, or name some"},
		{"incoming none", "VirtualMCPServer", `{backendSelector: {}, incomingAuth: {type: none}}`, `supported values: "bearer"`},
		{"a token in the clear", "VirtualMCPServer", `{backendSelector: {}, incomingAuth: {tokens: [{digest: "abc"}]}}`, "write sha256:"},
		{"a token of two kinds", "VirtualMCPServer", `{backendSelector: {}, incomingAuth: {tokens: [{}]}}`, "give one of secretKeyRef"},
		{"priority without effect", "VirtualMCPServer", `{backendSelector: {}, catalog: {priority: [a]}}`, "set conflicts: priority"},
		{"a separator without effect", "VirtualMCPServer", `{backendSelector: {}, catalog: {conflicts: manual, separator: _}}`, "set conflicts: prefix or auto"},
		{"a separator that names hold", "VirtualMCPServer", `{backendSelector: {}, catalog: {separator: a}}`, "begin it with _ or ."},
		{"a size that is none", "VirtualMCPServer", `{backendSelector: {}, limits: {requestBytes: big}}`, "such as 512KiB or 8MiB"},
		{"a public address with credentials", "VirtualMCPServer", `{backendSelector: {}, publicURL: "https://me:pw@mcp.example.com"}`, "write https://host"},
		{"a public address", "VirtualMCPServer", `{backendSelector: {}, publicURL: "https://mcp.example.com/team"}`, ""},
		{"a public address that is none", "VirtualMCPServer", `{backendSelector: {}, publicURL: "mcp.example.com"}`, "write https://host"},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := "apiVersion: recloser.dev/v1alpha1\nkind: " + test.kind + "\nmetadata: {name: x}\nspec: " + test.spec + "\n"
			_, err := c.TryKubectl(t.Context(), doc, "apply", "--dry-run=server", "--validate=strict", "-n", ns, "-f", "-")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("kubectl apply: %v, want %q", err, test.want)
			}
		})
	}
	long := "apiVersion: recloser.dev/v1alpha1\nkind: VirtualMCPServer\nmetadata: {name: a.b}\nspec: {backendSelector: {}}\n"
	if _, err := c.TryKubectl(t.Context(), long, "apply", "--dry-run=server", "-n", ns, "-f", "-"); err == nil || !strings.Contains(err.Error(), "at most 50 lower case letters") {
		t.Errorf("a name that no Service can have: %v", err)
	}
}

// What the page about Kubernetes shows applies as it is.
func TestPageAppliesAsItIs(t *testing.T) {
	c := suite.Start(t)
	ns := c.Namespace(t)
	page, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	for _, b := range blocks {
		if _, err := c.TryKubectl(t.Context(), string(b[1]), "apply", "--validate=strict", "-n", ns, "-f", "-"); err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
	}
	if len(blocks) != 2 {
		t.Errorf("the page has %d examples", len(blocks))
	}
}

// The samples apply as they are.
func TestSamples(t *testing.T) {
	c := suite.Start(t)
	ns := c.Namespace(t)
	c.Kubectl(t, "apply", "--validate=strict", "-n", ns, "-k", "../../config/samples")
	if out := c.Kubectl(t, "get", "vmcp,mcpb", "-n", ns, "-o", "name"); strings.Count(out, "\n") != 6 {
		t.Errorf("the samples made\n%s", out)
	}
	if out := c.Kubectl(t, "explain", "vmcp.spec.catalog.conflicts"); !strings.Contains(out, "prefix (default) puts the backend's name before every name") {
		t.Errorf("kubectl explain prints\n%s", out)
	}
}

// Every field that kubectl explain shows is explained.
func TestEveryFieldIsDocumented(t *testing.T) {
	files, _ := filepath.Glob("../../config/crd/recloser.dev_*.yaml")
	if len(files) != 2 {
		t.Fatalf("definitions: %v", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatal(err)
		}
		n := 0
		var walk func(path string, s *apiextensionsv1.JSONSchemaProps)
		walk = func(path string, s *apiextensionsv1.JSONSchemaProps) {
			n++
			if s.Description == "" {
				t.Errorf("%s has no description", path)
			}
			if strings.Contains(s.Description, "+kubebuilder") {
				t.Errorf("%s shows a marker: %s", path, s.Description)
			}
			for name, p := range s.Properties {
				walk(path+"."+name, &p)
			}
			if s.Items != nil && s.Items.Schema != nil {
				for name, p := range s.Items.Schema.Properties {
					walk(path+"[]."+name, &p)
				}
			}
			if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
				for name, p := range s.AdditionalProperties.Schema.Properties {
					walk(path+"{}."+name, &p)
				}
			}
		}
		root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		delete(root.Properties, "apiVersion")
		delete(root.Properties, "kind")
		metadata := root.Properties["metadata"]
		metadata.Description = "Kubernetes' own"
		root.Properties["metadata"] = metadata
		walk(crd.Spec.Names.Kind, root)
		if n < 50 {
			t.Errorf("%s has only %d fields", file, n)
		}
	}
}
