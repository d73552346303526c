package auth_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/auth"
)

// canary is a secret that nobody knows and that no output may contain.
type canary struct {
	value string
	forms []string
}

func newCanary() canary {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	v := base64.StdEncoding.EncodeToString(b) + "+/~"
	raw := []byte(v)
	c := canary{value: v, forms: []string{v, v[:8], url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw))}}
	for _, prefix := range []string{"", "x", "xy"} { // base64 has three alignments
		whole := base64.StdEncoding.EncodeToString([]byte(prefix + v))
		c.forms = append(c.forms, whole[4:len(whole)-4])
	}
	return c
}

func (c canary) search(t *testing.T, where, text string) {
	t.Helper()
	for _, f := range c.forms {
		if strings.Contains(text, f) {
			t.Errorf("%s shows the secret: %s", where, text)
			return
		}
	}
}

func TestCanaryIsFound(t *testing.T) {
	c := newCanary()
	for _, text := range []string{c.value, "x" + c.value[:8], hex.EncodeToString([]byte(c.value)), base64.StdEncoding.EncodeToString([]byte("u:" + c.value))} {
		found := false
		for _, f := range c.forms {
			found = found || strings.Contains(text, f)
		}
		if !found {
			t.Errorf("the search misses %s", text)
		}
	}
}

// holder has secrets wherever a struct can have them.
type holder struct {
	Secret auth.Secret  `xml:"secret"`
	Ref    *auth.Secret `xml:"ref"`
	Value  auth.Value   `xml:"value"`
	List   []auth.Secret
	Map    map[string]auth.Value `xml:"-"`
	Any    any
	inner
	secret auth.Secret
	value  auth.Value
	ref    *auth.Secret
	list   []auth.Value
	keyed  map[string]auth.Secret
	any    any
	array  [1]auth.Secret
}

type inner struct{ deep struct{ secret auth.Secret } }

func newHolder(c canary) holder {
	s, v := auth.NewSecret(c.value), auth.NewValue(c.value)
	h := holder{Secret: s, Ref: &s, Value: v, List: []auth.Secret{s}, Map: map[string]auth.Value{"k": v}, Any: s,
		secret: s, value: v, ref: &s, list: []auth.Value{v}, keyed: map[string]auth.Secret{"k": s}, any: v, array: [1]auth.Secret{s}}
	h.deep.secret = s
	return h
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c := newCanary()
	s, v := auth.NewSecret(c.value), auth.NewValue(c.value)
	h := newHolder(c)
	src := auth.NewSource("bearer", must1(auth.NewBearer(auth.BearerOptions{Token: v}))(t), auth.SourceOptions{})
	defer src.Close()
	var event auth.Event
	src.Watch(func(e auth.Event) { event = e })
	renew(t, src, 0, auth.New)
	cred := generation(t, src, 1)
	m := auth.Material{Headers: []auth.Header{{Name: "X-Key", Value: s}}}
	cc := auth.ClientCredentialsOptions{TokenURL: "https://issuer.test", ClientID: "me", ClientSecret: v}

	for name, x := range map[string]any{
		"secret": s, "secret pointer": &s, "value": v, "value pointer": &v, "holder": h, "holder pointer": &h, "credential": cred, "credential struct": *cred,
		"source": src, "event": event, "facts": src.Facts(), "material": m, "material pointer": &m, "header": m.Headers[0], "headers": m.Headers,
		"bearer options": auth.BearerOptions{Token: v}, "header options": auth.HeaderOptions{Headers: map[string]auth.Value{"X": v}}, "options": cc,
		"bearer": must1(auth.NewBearer(auth.BearerOptions{Token: v}))(t), "client_credentials": must1(auth.NewClientCredentials(cc, nil))(t),
		"header strategy": must1(auth.NewHeader(auth.HeaderOptions{Headers: map[string]auth.Value{"X": v}}))(t),
		"error":           fmt.Errorf("wrapped %v: %w", s, errors.New(fmt.Sprint(v))),
	} {
		for _, verb := range "vsqxXdtpUeEfFgGbcoO" {
			for _, flag := range []string{"", "+", "#", " ", "0", "-", "40", ".3", "+#"} {
				format := "%" + flag + string(verb)
				c.search(t, name+" "+format, fmt.Sprintf(format, x))
			}
		}
		c.search(t, name+" print", fmt.Sprint(x)+fmt.Sprintln(x))
		if b, err := json.Marshal(x); err == nil {
			c.search(t, name+" json", string(b))
		} else {
			c.search(t, name+" json error", err.Error())
		}
		func() {
			defer func() { // yaml panics on what it cannot write
				if r := recover(); r != nil {
					c.search(t, name+" yaml panic", fmt.Sprint(r))
				}
			}()
			b, err := yaml.Marshal(x)
			c.search(t, name+" yaml", string(b)+fmt.Sprint(err))
		}()
		b, err := xml.Marshal(x)
		c.search(t, name+" xml", string(b)+fmt.Sprint(err))
		var g bytes.Buffer
		err = gob.NewEncoder(&g).Encode(x)
		c.search(t, name+" gob", g.String()+fmt.Sprint(err))
		for kind, handler := range map[string]func(io.Writer) slog.Handler{
			"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
			"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).With("with", x).Info("m", "k", x, slog.Group("g", slog.Any("in", x)))
			c.search(t, name+" slog "+kind, log.String())
		}
		func() {
			defer func() { c.search(t, name+" panic", fmt.Sprint(recover())) }()
			panic(x)
		}()
	}
}

func TestSecretPrintsTheSameWhateverItHolds(t *testing.T) {
	for _, s := range []fmt.Stringer{auth.NewSecret("x"), auth.NewSecret("longer"), auth.Secret{}, auth.NewValue("x"), auth.Value{}} {
		j, err := json.Marshal(s)
		must(t, err)
		y, err := yaml.Marshal(s)
		must(t, err)
		if got := fmt.Sprintf("%v %s %#v %x %s %s %s", s, s, s, s, s.String(), j, y); got != `[redacted] [redacted] [redacted] [redacted] [redacted] "[redacted]" '[redacted]'`+"\n" {
			t.Error(got)
		}
	}
}

// Every error that a strategy can give, with a token server that repeats all it
// was sent.
func TestErrorsHoldNoSecret(t *testing.T) {
	c := newCanary()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write(t, file, c.value+"\n"+c.value+"\x00")
	echo := func(status int, contentType string) http.RoundTripper {
		return roundTripper(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, pass, _ := r.BasicAuth()
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Retry-After", c.value)
			w.Header().Set("Location", "https://evil.test/"+c.value)
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":%q,"error_description":%q,"access_token":%q,"expires_in":%q}`, c.value, c.value+pass, c.value+"\n", string(b)+c.value)
		})
	}
	failing := errTripper{fmt.Errorf("proxy said %s", c.value)}
	var specs []auth.Spec
	for _, y := range []string{"token: '${file:" + file + "}'", "token: \"" + c.value + " x\"", "token: \"" + c.value + "${x\""} {
		specs = append(specs, fromYAML("bearer", y))
	}
	specs = append(specs, fromYAML("header", "headers: {X-Key: '${file:"+file+"}'}"), fromYAML("header", `headers: {X-Key: "`+c.value+`\n"}`))
	for _, style := range []string{"basic", "post"} {
		for _, tr := range []http.RoundTripper{
			echo(400, "application/json"), echo(200, "application/json"), echo(200, "text/plain"), echo(401, "text/html"), echo(302, "application/json"), echo(503, "text/plain"), failing,
		} {
			spec := fromYAML("client_credentials", fmt.Sprintf("{tokenURL: 'https://issuer.test/t', clientID: me, clientSecret: %q, clientAuth: %s}", c.value, style))
			spec.HTTPClient = &http.Client{Transport: tr}
			specs = append(specs, spec)
		}
	}
	for i, spec := range specs {
		src, err := auth.NewRegistry().New(spec, auth.SourceOptions{})
		if err == nil {
			var event auth.Event
			src.Watch(func(e auth.Event) { event = e })
			err = renew(t, src, 0, auth.Passing)
			c.search(t, fmt.Sprint(i, " event"), fmt.Sprintf("%+v %#v %v", event, event, event.Err))
			facts, jerr := json.Marshal(src.Facts())
			c.search(t, fmt.Sprint(i, " facts"), string(facts)+fmt.Sprint(jerr))
			src.Close()
		}
		for ; err != nil; err = errors.Unwrap(err) {
			c.search(t, fmt.Sprint(i, " error"), fmt.Sprintf("%v %+v %#v %q", err, err, err, err))
		}
	}
}

type errTripper struct{ err error }

func (e errTripper) RoundTrip(*http.Request) (*http.Response, error) { return nil, e.err }

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func TestScrubFindsEchoes(t *testing.T) {
	c := newCanary()
	src := auth.NewSource("bearer", must1(auth.NewBearer(auth.BearerOptions{Token: auth.NewValue(c.value)}))(t), auth.SourceOptions{})
	defer src.Close()
	renew(t, src, 0, auth.New)
	cred := generation(t, src, 1)
	raw := []byte(c.value)
	for _, text := range []string{
		"token " + c.value + " is unknown", c.value[:10], hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), url.QueryEscape(c.value),
		base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), "Bearer " + c.value,
	} {
		if got := cred.Scrub(text); got != "[redacted]" {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, text := range []string{"", "The access token expired", "Bearer", "authorization"} {
		if got := cred.Scrub(text); got != text {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestScrubServesSecretsThatAreNoCredential(t *testing.T) {
	for text, want := range map[string]string{
		"cannot open s3cr3t-canary-value":        "[redacted]",
		"cannot open s3cr3t-c...":                "[redacted]",
		"sent " + "czNjcjN0LWNhbmFyeS12YWx1ZQ==": "[redacted]",
		"listening on port 8080":                 "listening on port 8080",
		"":                                       "",
	} {
		if got := auth.Scrub(text, "other-secret", "s3cr3t-canary-value", "port"); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestSecretName(t *testing.T) {
	for name, want := range map[string]bool{
		"API_KEY": true, "Authorization": true, "X-Auth": true, "GITHUB_PAT": true, "DB_PASSWORD": true, "access_token": true,
		"PATH": false, "author": false, "NODE_ENV": false, "": false,
	} {
		if got := auth.SecretName(name); got != want {
			t.Errorf("SecretName(%q) = %v", name, got)
		}
	}
}
