package auth_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/auth"
)

// fromYAML is how a configuration hands settings over: strictly.
func fromYAML(typ, text string) auth.Spec {
	return auth.Spec{Type: typ, Decode: func(into any) error {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		return d.Decode(into)
	}}
}

func TestBuiltInStrategies(t *testing.T) {
	for name, c := range map[string]struct {
		spec auth.Spec
		want http.Header
	}{
		"unauthenticated": {auth.Spec{Type: "unauthenticated"}, http.Header{}},
		"bearer":          {fromYAML("bearer", "token: abc"), http.Header{"Authorization": {"Bearer abc"}}},
		"header": {fromYAML("header", "headers: {x-api-key: k, Authorization: 'Token t', X-Number: 7}"),
			http.Header{"X-Api-Key": {"k"}, "Authorization": {"Token t"}, "X-Number": {"7"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := auth.NewRegistry().New(c.spec, auth.SourceOptions{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			defer s.Close()
			generation(t, s, 0)
			renew(t, s, 0, auth.New)
			h := http.Header{}
			cred := generation(t, s, 1)
			cred.Apply(h)
			if diff := cmp.Diff(c.want, h); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if len(cred.HeaderNames()) != len(c.want) || cred.Renewable() || !cred.Expires().IsZero() || s.Facts().Type != name {
				t.Errorf("%s: %v %+v", name, cred.HeaderNames(), s.Facts())
			}
			renew(t, s, 1, auth.Same)
			generation(t, s, 1)
		})
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, c := range map[string]struct{ typ, yaml, want string }{
		"empty token":              {"bearer", "token: ''", "token: it is empty"},
		"no token":                 {"bearer", "{}", "token: it is empty"},
		"line break":               {"bearer", `token: "sesame\nx"`, "white space"},
		"space":                    {"bearer", `token: "sesame x"`, "white space"},
		"scheme twice":             {"bearer", `token: "Bearer sesame"`, "give the token alone"},
		"unknown key":              {"bearer", `tokn: sesame`, "tokn"},
		"unauthenticated with key": {"unauthenticated", `token: sesame`, "token"},
		"no headers":               {"header", "{}", "name at least one"},
		"host":                     {"header", "headers: {host: sesame}", "header Host belongs"},
		"hop by hop":               {"header", "headers: {Transfer-Encoding: sesame}", "belongs"},
		"protocol":                 {"header", "headers: {mcp-session-id: sesame}", "belongs"},
		"parameter":                {"header", "headers: {Mcp-Param-X: sesame}", "belongs"},
		"bad name":                 {"header", "headers: {'X Key': sesame}", "header name"},
		"empty name":               {"header", "headers: {'': sesame}", "empty"},
		"value with CR LF":         {"header", `headers: {X-Key: "sesame\r\nHost: x"}`, "X-Key: the value has a line break"},
		"value with white space":   {"header", `headers: {X-Key: " sesame"}`, "white space"},
		"empty value":              {"header", `headers: {X-Key: ""}`, "X-Key: the value is empty"},
		"one header, two ways":     {"header", "headers: {x-key: a, X-Key: b}", "X-Key is set twice"},
		"several at once":          {"header", "headers: {Host: a, Te: b}", "Te belongs"},
		"client_credentials":       {"client_credentials", "clientAuth: sesame", "tokenURL is empty"},
		"client secret in URL":     {"client_credentials", "tokenURL: https://a:sesame@b/", "credentials in it"},
	} {
		_, err := auth.NewRegistry().New(fromYAML(c.typ, c.yaml), auth.SourceOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		} else if strings.Contains(err.Error(), "sesame") && name != "client_credentials" {
			t.Errorf("%s: shows the value: %v", name, err)
		}
	}
}

func TestFilesAreCheckedWhenRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "\n")
	write(t, filepath.Join(dir, "two"), "sesame\nsesame\n")
	for _, c := range []struct{ typ, yaml, want string }{
		{"bearer", "token: '${file:DIR/empty}'", "token: it is empty"},
		{"bearer", "token: '${file:DIR/two}'", "white space, a line break"},
		{"bearer", "token: '${file:DIR/none}'", "no such file"},
		{"header", "headers: {X-Key: '${file:DIR/empty}'}", "X-Key: the value is empty"},
		{"header", "headers: {X-Key: '${file:DIR/two}'}", "X-Key: the value has a line break"},
		{"client_credentials", "{tokenURL: 'https://issuer.test', clientID: me, clientSecret: '${file:DIR/empty}'}", "clientSecret: it is empty"},
	} {
		s, err := auth.NewRegistry().New(fromYAML(c.typ, strings.ReplaceAll(c.yaml, "DIR", dir)), auth.SourceOptions{})
		must(t, err)
		err = renew(t, s, 0, auth.Passing)
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v, want %s", err, c.want)
		}
		s.Close()
	}
}

func TestRegistration(t *testing.T) {
	r := auth.NewRegistry()
	builtIn := []string{"bearer", "client_credentials", "header", "unauthenticated"}
	if diff := cmp.Diff(builtIn, r.Types()); diff != "" {
		t.Error(diff)
	}
	own := func(auth.Spec) (auth.Strategy, error) { return mint(0), nil }
	must(t, r.Register("mine", own))
	for _, typ := range []string{"mine", "bearer", ""} {
		if r.Register(typ, own) == nil {
			t.Errorf("%q was registered", typ)
		}
	}
	if r.Register("nothing", nil) == nil {
		t.Error("no factory")
	}
	s, err := r.New(auth.Spec{Type: "mine"}, auth.SourceOptions{})
	must(t, err)
	renew(t, s, 0, auth.New)
	s.Close()
	if diff := cmp.Diff(append(builtIn[:3:3], "mine", "unauthenticated"), r.Types()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(builtIn, auth.NewRegistry().Types()); diff != "" { // registries share nothing
		t.Error(diff)
	}

	broken := errors.New("no key")
	must(t, r.Register("broken", func(auth.Spec) (auth.Strategy, error) { return nil, broken }))
	must(t, r.Register("void", func(auth.Spec) (auth.Strategy, error) { return nil, nil }))
	if _, err := r.New(auth.Spec{Type: "broken"}, auth.SourceOptions{}); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "auth type broken: ") {
		t.Error(err)
	}
	if _, err := r.New(auth.Spec{Type: "void"}, auth.SourceOptions{}); err == nil {
		t.Error("a source of no strategy")
	}
}

func TestUnknownTypeSuggestsTheNearest(t *testing.T) {
	const known = "known are bearer, client_credentials, header, unauthenticated"
	for typ, want := range map[string]string{
		"baerer":             `unknown auth type "baerer": did you mean "bearer"? ` + known,
		"Bearer":             `unknown auth type "Bearer": did you mean "bearer"? ` + known,
		"client-credentials": `unknown auth type "client-credentials": did you mean "client_credentials"? ` + known,
		"kerberos":           `unknown auth type "kerberos": ` + known,
		"":                   `auth has no type: use one of bearer, client_credentials, header, unauthenticated`,
	} {
		_, err := auth.NewRegistry().New(auth.Spec{Type: typ}, auth.SourceOptions{})
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", typ, err, want)
		}
	}
	if _, err := auth.NewRegistry().New(auth.Spec{Type: strings.Repeat("x", 1<<20)}, auth.SourceOptions{}); err == nil || len(err.Error()) > 300 {
		t.Error("a long name is repeated")
	}
}
