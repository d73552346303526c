package config_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

// headers fetches a credential of a document and returns what it puts on the wire.
func headers(t *testing.T, doc *config.Document, key string) map[string]string {
	t.Helper()
	c, ok := doc.Credential(key)
	if !ok {
		t.Fatalf("no credential %q", key)
	}
	src, err := auth.NewRegistry().New(c.Spec, auth.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.Renew(t.Context(), 0, false); err != nil {
		t.Fatal(err)
	}
	cred, ok := src.Current()
	if !ok {
		t.Fatal("no credential to send")
	}
	h := http.Header{}
	cred.Apply(h)
	out := map[string]string{}
	for k, v := range h {
		out[k] = v[0]
	}
	return out
}

func TestHeadersThatAreSecretsBecomeACredential(t *testing.T) {
	tests := []struct {
		name, entry string
		credential  map[string]string // nil: none
		plain       map[string]string
	}{
		{"plain", "headers: {X-Tenant: acme, X-Version: 2}", nil, map[string]string{"X-Tenant": "acme", "X-Version": "2"}},
		{"by name", "headers: {authorization: Bearer abc, X-Tenant: acme}", map[string]string{"Authorization": "Bearer abc"}, map[string]string{"X-Tenant": "acme"}},
		{"by several names", "headers: {X-Api-Key: k, Private-Token: p, Cookie: c, X-Auth: a, X-Client-Secret: s}",
			map[string]string{"X-Api-Key": "k", "Private-Token": "p", "Cookie": "c", "X-Auth": "a", "X-Client-Secret": "s"}, nil},
		{"by a variable", "headers: {X-Tenant: 't-${VAR}'}", map[string]string{"X-Tenant": "t-value"}, nil},
		{"beside auth of type header", "headers: {X-Api-Key: k, X-Tenant: '${VAR}'}, auth: {type: header, headers: {X-Other: o}}",
			map[string]string{"X-Other": "o", "X-Api-Key": "k", "X-Tenant": "value"}, nil},
		{"a variable beside another auth", "headers: {X-Tenant: '${VAR}'}, auth: {type: bearer, token: b}",
			map[string]string{"Authorization": "Bearer b"}, map[string]string{"X-Tenant": "value"}},
		{"a literal reference", "headers: {X-Tenant: 'a$${b}'}", nil, map[string]string{"X-Tenant": "a${b}"}},
		{"a value is not expanded again", "headers: {X-Tenant: '${TRAP}'}", map[string]string{"X-Tenant": "${file:/etc/passwd}${VAR}"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := good(t, "mcpServers: {a: {url: 'https://a.example', "+tt.entry+"}}",
				map[string]string{"VAR": "value", "TRAP": "${file:/etc/passwd}${VAR}"})
			b := doc.Backends[0]
			if diff := cmp.Diff(tt.plain, b.Options.Headers); diff != "" {
				t.Errorf("plain headers (-want +got):\n%s", diff)
			}
			if tt.credential == nil {
				if b.Credential != "" || len(doc.Credentials) != 0 {
					t.Errorf("credential is %q of %d", b.Credential, len(doc.Credentials))
				}
				return
			}
			if diff := cmp.Diff(tt.credential, headers(t, doc, b.Credential)); diff != "" {
				t.Errorf("credential (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentialsAreSharedByIdentity(t *testing.T) {
	doc := good(t, `
credentials:
  corp: {type: client_credentials, tokenURL: https://login.example/token, clientID: me, clientSecret: "${SECRET}", scopes: [base]}
mcpServers:
  a: {url: https://a.example, auth: {use: corp}}
  b: {url: https://b.example, auth: {use: corp}}
  c: {url: https://c.example, auth: {use: corp, scopes: [x, y]}}
  d: {url: https://d.example, auth: {use: corp, scopes: [x, y]}}
  e: {url: https://e.example, auth: {use: corp, resource: "https://e.example"}}
  f: {url: https://f.example, auth: {type: bearer, token: t}}
  g: {url: https://g.example}
`, map[string]string{"SECRET": "hunter22"})

	var keys, used []string
	for _, c := range doc.Credentials {
		keys = append(keys, c.Key)
	}
	for _, b := range doc.Backends {
		used = append(used, b.Name+": "+b.Credential)
	}
	if diff := cmp.Diff([]string{
		"credentials.corp", "credentials.corp[scopes=x y]", "credentials.corp[resource=https://e.example]", "mcpServers.f",
	}, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"a: credentials.corp", "b: credentials.corp", "c: credentials.corp[scopes=x y]", "d: credentials.corp[scopes=x y]",
		"e: credentials.corp[resource=https://e.example]", "f: mcpServers.f", "g: ",
	}, used); diff != "" {
		t.Errorf("use (-want +got):\n%s", diff)
	}

	for key, want := range map[string]auth.ClientCredentialsOptions{
		"credentials.corp":                             {Scopes: []string{"base"}},
		"credentials.corp[scopes=x y]":                 {Scopes: []string{"x", "y"}},
		"credentials.corp[resource=https://e.example]": {Scopes: []string{"base"}, Resource: "https://e.example"},
	} {
		want.TokenURL, want.ClientID, want.ClientSecret = "https://login.example/token", "me", auth.NewValue("hunter22")
		c, _ := doc.Credential(key)
		var got auth.ClientCredentialsOptions
		if err := c.Spec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

// A Spec is decoded when the gateway is built, perhaps long after Load and more
// than once. The environment is not asked again.
func TestASpecRemembersItsVariables(t *testing.T) {
	asked := 0
	doc, _, err := config.Parse("c.yaml", []byte("mcpServers: {a: {url: https://a.example, auth: {type: bearer, token: '${T}'}}}"), config.LoadOptions{
		Env: func(string) (string, bool) { asked++; return "hunter22", true },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var o auth.BearerOptions
		if err := doc.Credentials[0].Spec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		if !o.Token.Equal(auth.NewValue("hunter22")) {
			t.Error("another token")
		}
	}
	if asked != 1 {
		t.Errorf("the environment was asked %d times, want once", asked)
	}
}

// A file of a secret stays a reference, so that its owner can watch it.
func TestFilesOfSecretsStayReferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "hunter22\n")
	doc := good(t, "mcpServers: {a: {url: https://a.example, auth: {type: bearer, token: '${PRE}${file:"+path+"}$${x'}}}",
		map[string]string{"PRE": "a${file:/none}"})
	var o auth.BearerOptions
	if err := doc.Credentials[0].Spec.Decode(&o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{path}, o.Token.Files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	s, err := o.Token.Resolve()
	if err != nil || s.Reveal() != "a${file:/none}hunter22${x" {
		t.Errorf("token is %q, %v", s.Reveal(), err)
	}
}

type thirdParty struct {
	Vault string          `yaml:"vault"`
	Role  string          `yaml:"role"`
	Extra struct{ N int } `yaml:",inline"`
}

func (thirdParty) Fetch(context.Context) (auth.Material, error) {
	return auth.Material{}, errors.New("sealed")
}

// Strategies that others register have the same strict keys, places and
// suggestions as our own.
func TestRegisteredStrategiesAreConfigurable(t *testing.T) {
	reg := auth.NewRegistry()
	if err := reg.Register("vault", func(s auth.Spec) (auth.Strategy, error) {
		o, err := auth.DecodeOptions[thirdParty](s)
		if err != nil {
			return nil, err
		}
		if o.Role == "" {
			return nil, errors.New("role is empty: name one")
		}
		return o, nil
	}); err != nil {
		t.Fatal(err)
	}
	parse := func(settings string) error {
		_, _, err := config.Parse("c.yaml", []byte("credentials:\n  v: {type: vault, "+settings+"}\n"), config.LoadOptions{Env: environment(nil), Registry: reg})
		return err
	}
	if err := parse("vault: a, role: r, n: 3"); err != nil {
		t.Error(err)
	}
	want := "c.yaml:2:20: credentials.v.vualt: unknown key; did you mean \"vault\"?\n" +
		"c.yaml:2:33: credentials.v.n: expected a number, got \"x\""
	if err := parse("vualt: a, n: x, role: r"); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	want = "c.yaml:2:3: credentials.v.role: is empty; name one"
	if err := parse("vault: a"); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
