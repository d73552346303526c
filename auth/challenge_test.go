package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/recloser-mcp/recloser/auth"
)

func TestParseChallenges(t *testing.T) {
	type ch = auth.Challenge
	for name, c := range map[string]struct {
		in   []string
		want []ch
	}{
		"none":         {nil, nil},
		"empty":        {[]string{"", " , ,"}, nil},
		"scheme alone": {[]string{"Bearer"}, []ch{{Scheme: "Bearer"}}},
		"bearer in full": {
			[]string{`Bearer realm="mcp", error="insufficient_scope", error_description="needs \"more\"", scope="a b", resource_metadata="https://x/.well-known/oauth-protected-resource"`},
			[]ch{{Scheme: "Bearer", Realm: "mcp", Error: "insufficient_scope", ErrorDescription: `needs "more"`, Scope: "a b",
				ResourceMetadata: "https://x/.well-known/oauth-protected-resource"}},
		},
		"tokens instead of strings": {[]string{`bearer error=invalid_token,scope=a`}, []ch{{Scheme: "bearer", Error: "invalid_token", Scope: "a"}}},
		"names in capitals":         {[]string{`BEARER ERROR="invalid_token"`}, []ch{{Scheme: "BEARER", Error: "invalid_token"}}},
		"spaces around equals":      {[]string{`Bearer error = "invalid_token" , scope= "a"`}, []ch{{Scheme: "Bearer", Error: "invalid_token", Scope: "a"}}},
		"several in one header": {
			[]string{`Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`},
			[]ch{{Scheme: "Newauth", Realm: "apps"}, {Scheme: "Basic", Realm: "simple"}},
		},
		"several headers":         {[]string{`Negotiate`, `Bearer realm="x"`}, []ch{{Scheme: "Negotiate"}, {Scheme: "Bearer", Realm: "x"}}},
		"parameters do not leak":  {[]string{`Bearer`, `realm="x"`}, []ch{{Scheme: "Bearer"}}},
		"token68 is dropped":      {[]string{`Negotiate oYG2MIGz/+==, Bearer error="invalid_token"`}, []ch{{Scheme: "Negotiate"}, {Scheme: "Bearer", Error: "invalid_token"}}},
		"after token68 no params": {[]string{`Negotiate abc, realm="x"`}, []ch{{Scheme: "Negotiate"}}},
		"comma in a string":       {[]string{`Bearer realm="a, Basic realm=b", error="e"`}, []ch{{Scheme: "Bearer", Realm: "a, Basic realm=b", Error: "e"}}},
		"missing comma":           {[]string{`Bearer realm="x" Basic realm="y"`}, []ch{{Scheme: "Bearer", Realm: "x"}, {Scheme: "Basic", Realm: "y"}}},
		"string without its end":  {[]string{`Bearer realm="x`}, []ch{{Scheme: "Bearer", Realm: "x"}}},
		"first of two counts":     {[]string{`Bearer error="a", error="b"`}, []ch{{Scheme: "Bearer", Error: "a"}}},
		"junk is skipped":         {[]string{`@@@ "x, y", ="z", Bearer error="a", @, scope="s"`}, []ch{{Scheme: "Bearer", Error: "a", Scope: "s"}}},
		"control characters":      {[]string{"Bearer error_description=\"a\x1b[31m\r\nb\x00\u202e\u009bc\xff\""}, []ch{{Scheme: "Bearer", ErrorDescription: "a[31mbc"}}},
		"letters of the world":    {[]string{`Bearer error_description="Ключ истёк 🔑"`}, []ch{{Scheme: "Bearer", ErrorDescription: "Ключ истёк 🔑"}}},
	} {
		if diff := cmp.Diff(c.want, auth.ParseChallenges(c.in), cmpopts.IgnoreFields(ch{}, "Params")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestChallengeParams(t *testing.T) {
	all := auth.ParseChallenges([]string{`Bearer Realm="r", x-Y=1, realm=second`})
	if diff := cmp.Diff(map[string]string{"realm": "r", "x-y": "1"}, all[0].Params); diff != "" {
		t.Error(diff)
	}
}

func TestBearerPicksTheOneThatSaysMost(t *testing.T) {
	for in, want := range map[string]string{
		``:                                 "none",
		`Basic realm="x", error="e"`:       "none",
		`Bearer realm="a"`:                 "a ",
		`Bearer realm="a", Bearer scope=s`: "a ",
		`Basic realm="b", Bearer realm="a", bearer realm="c", error="e"`: "c e",
	} {
		got := "none"
		if c, ok := auth.Bearer(auth.ParseChallenges([]string{in})); ok {
			got = c.Realm + " " + c.Error
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestChallengesAreBounded(t *testing.T) {
	huge := `Bearer error_description="` + strings.Repeat("é", 1<<20) + `"`
	all := auth.ParseChallenges([]string{huge, `Basic realm="after the bound"`})
	if len(all) != 1 || len(all[0].ErrorDescription) > 512 || !utf8.ValidString(all[0].ErrorDescription) {
		t.Errorf("%d challenges, %d bytes", len(all), len(all[0].ErrorDescription))
	}
	if n := len(auth.ParseChallenges([]string{strings.Repeat("Basic, ", 1000)})); n != 16 {
		t.Errorf("%d challenges", n)
	}
	var params strings.Builder
	for i := range 500 {
		fmt.Fprintf(&params, "p%d=1,", i)
	}
	if n := len(auth.ParseChallenges([]string{"Bearer " + params.String()})[0].Params); n != 32 {
		t.Errorf("%d parameters", n)
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		``, `,`, `Bearer`, `Bearer realm="x", error="invalid_token"`, `Negotiate abc==, Basic realm=y`, `a="b`, `a=\`, `"`, `Bearer a="\`,
		`Digest qop="auth, auth-int", nonce=xyz`, "Bearer error_description=\"\x1b]0;x\x07\"", `= = =`, `Bearer =,=`, `x y=z w`,
	} {
		f.Add(seed, `Bearer scope="s"`)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		all := auth.ParseChallenges([]string{a, b})
		if len(all) > 16 {
			t.Fatalf("%d challenges", len(all))
		}
		show := func(s string, limit int) {
			if len(s) > limit || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("not fit to be shown: %q", s)
			}
		}
		for _, c := range all {
			if c.Scheme == "" || len(c.Params) > 32 {
				t.Fatalf("%+v", c)
			}
			show(c.Scheme, 64)
			for name, value := range c.Params {
				show(name, 64)
				show(value, 512)
			}
			if c.Realm != c.Params["realm"] || c.Error != c.Params["error"] || c.Scope != c.Params["scope"] {
				t.Fatalf("%+v", c)
			}
			// What was understood can be written down and read again.
			var again strings.Builder
			again.WriteString(c.Scheme)
			sep := " "
			for name, value := range c.Params {
				fmt.Fprintf(&again, `%s%s="%s"`, sep, name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
				sep = ", "
			}
			if again.Len() < 8<<10 {
				back := auth.ParseChallenges([]string{again.String()})
				if diff := cmp.Diff([]auth.Challenge{c}, back); diff != "" {
					t.Fatalf("%s: %s", again.String(), diff)
				}
			}
		}
		auth.Bearer(all)
	})
}
