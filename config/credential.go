package config

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// Credential is one distinct credential of a document: an auth.Source is to be
// made of each, and shared by all backends that name its Key.
type Credential struct {
	// Key is credentials.NAME, with the scopes and the resource that a backend
	// asks for behind it, or mcpServers.NAME for one that a single backend has.
	Key string
	// Spec says what to make. Its Decode may be called at any time and reads the
	// variables as they were when the document was read.
	Spec auth.Spec

	settings any // what Spec decodes into, as it was when the document was read
}

// authType is the strategy of credentials in headers.
const authType = "header"

// credential is a section that describes a credential.
type credential struct {
	mark
	path string
	key  string
	typ  string
	spec func(d *decoder, into any) // decodes its settings
	use  bool                       // a backend sends it
	base *credential                // the named one that it varies
	// settings is the mapping to which a factory's complaints belong.
	settings *node
	decoded  any // what the strategy's factory was given
}

// credentialSection is the map credentials.
type credentialSection struct {
	names []string
	named map[string]*credential
}

func (s *credentialSection) decodeNode(d *decoder, n *node, path string) {
	if n.kind != mapping {
		d.wrong(n, path, "a mapping")
		return
	}
	s.named = map[string]*credential{}
	for _, m := range n.members {
		c := d.inline(m.value, join(path, m.key))
		if c != nil {
			c.mark, c.key = m.mark, join("credentials", m.key)
		}
		s.names = append(s.names, m.key)
		s.named[m.key] = c // nil: it is known and wrong
	}
}

// authSection keeps the value of auth until all credentials are known.
type authSection struct{ *node }

func (a *authSection) decodeNode(d *decoder, n *node, path string) {
	if n.kind != mapping {
		// The text may be a token: it is not quoted.
		d.add(n.mark, path, "expected a mapping, got "+n.what(), `write {type: bearer, token: ...} or {use: NAME}`)
		return
	}
	a.node = n
}

// without returns a mapping without some of its keys.
func (n *node) without(keys ...string) *node {
	out := &node{mark: n.mark, kind: mapping}
	for _, m := range n.members {
		if !slices.Contains(keys, m.key) {
			out.members = append(out.members, m)
		}
	}
	return out
}

// inline reads a section {type, settings}.
func (d *decoder) inline(n *node, path string) *credential {
	if n.kind != mapping {
		d.add(n.mark, path, "expected a mapping, got "+n.what(), "write {type: bearer, token: ...}")
		return nil
	}
	m := n.get("type")
	if m == nil {
		d.add(n.mark, path, "has no type", "add type: "+oneOf(d.registry.Types()))
		return nil
	}
	typ, ok := d.scalar(m.value, join(path, "type"), "a text")
	if !ok {
		return nil
	}
	if !slices.Contains(d.registry.Types(), typ) {
		d.add(m.value.mark, join(path, "type"), "unknown auth type "+quote(m.value), suggestion(m.value.text, d.registry.Types()))
		return nil
	}
	settings := n.without("type")
	return &credential{
		mark: n.mark, path: path, key: strings.TrimSuffix(path, ".auth"), typ: typ, settings: settings,
		spec: func(d *decoder, into any) { d.into(settings, path, into) },
	}
}

// credentialOf finds the credential of a backend: what auth says, and the headers
// that are credentials. nil when it has none, or after a problem.
func (d *decoder) credentialOf(s *server, named *credentialSection) *credential {
	var c *credential
	authPath := join(s.path, "auth")
	if n := s.entry.Auth.node; n != nil {
		if use := n.get("use"); use != nil {
			c = d.borrowed(n, use, authPath, named)
		} else {
			c = d.inline(n, authPath)
		}
		if c == nil {
			return nil
		}
	} else if d.bad(authPath) {
		return nil
	}
	return d.withHeaders(s, c)
}

// borrowed reads {use: NAME, scopes, resource}.
func (d *decoder) borrowed(n *node, use *member, path string, named *credentialSection) *credential {
	name, ok := d.scalar(use.value, join(path, "use"), "a text")
	if !ok {
		return nil
	}
	if m := n.get("type"); m != nil {
		d.add(m.mark, join(path, "type"), "is given beside use", "remove it: a named credential has its type")
	}
	own := n.without("use", "type")
	for _, m := range own.members {
		if m.key != "scopes" && m.key != "resource" {
			d.add(m.mark, join(path, m.key), "unknown key beside use", suggestion(m.key, []string{"scopes", "resource"}))
		}
	}
	c, known := named.named[name]
	switch {
	case !known && len(named.names) == 0:
		d.add(use.value.mark, join(path, "use"), "there is no credential "+quote(use.value), "define it under credentials")
		return nil
	case !known:
		d.add(use.value.mark, join(path, "use"), "there is no credential "+quote(use.value), suggestion(use.value.text, named.names))
		return nil
	case c == nil:
		return nil
	case len(own.members) == 0:
		return c
	}
	c.use = true // through its variant
	if d.bad(path) {
		return nil
	}
	variant := *c
	variant.mark, variant.path, variant.base = n.mark, path, c
	variant.settings = &node{mark: n.mark, kind: mapping, members: slices.Concat(own.members, c.settings.members)}
	variant.key = c.key + identity(own)
	variant.spec = func(d *decoder, into any) {
		c.spec(d, into)
		d.override(own, path, c, into)
	}
	return &variant
}

// override decodes a backend's own scopes and resource over a named credential.
func (d *decoder) override(own *node, path string, c *credential, into any) {
	v := reflect.ValueOf(into).Elem()
	if v.Kind() == reflect.Struct {
		fields := fieldsOf(v)
		for _, m := range own.members {
			if _, ok := fields[m.key]; !ok {
				d.add(m.mark, join(path, m.key), fmt.Sprintf("has no meaning for a credential of type %s, which %s is", c.typ, c.path), "remove it")
				return
			}
		}
	}
	d.into(own, path, into)
}

// identity tells variants of one credential apart: scopes and a resource that are
// written alike are one credential, which backends share. Variables stay as they
// are written: the key of a credential is shown.
func identity(own *node) string {
	var parts []string
	for _, key := range []string{"scopes", "resource"} {
		m := own.get(key)
		if m == nil {
			continue
		}
		texts := []string{m.value.text}
		for _, item := range m.value.items {
			texts = append(texts, item.text)
		}
		parts = append(parts, key+"="+strings.TrimSpace(strings.Join(texts, " ")))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// withHeaders adds the headers of a backend that are credentials. A backend sends
// one credential, so they join only one of type header.
func (d *decoder) withHeaders(s *server, c *credential) *credential {
	settings := &node{mark: s.mark, kind: mapping}
	var taken []string
	own := c != nil && c.typ == authType && strings.HasPrefix(c.path, s.path)
	if own {
		if m := c.settings.get("headers"); m != nil && m.value.kind == mapping {
			for _, h := range m.value.members {
				taken = append(taken, http.CanonicalHeaderKey(h.key))
			}
		}
	}
	for _, h := range s.entry.Headers {
		switch {
		case !h.credential:
			d.plain(h)
		case slices.Contains(taken, h.canonical) || c != nil && !own && h.canonical == "Authorization" && c.typ != "unauthenticated":
			d.add(h.mark, h.path, "is set by auth as well", "keep one of the two")
		case c == nil || own:
			settings.mark = h.mark
			settings.members = append(settings.members, h.member)
		case auth.SecretName(h.key):
			d.add(h.mark, h.path, fmt.Sprintf("is a second credential, beside auth of type %s", c.typ), "keep one of the two")
		default:
			// A tenant or a version that comes from a variable is not worth a
			// credential of its own when there is one.
			h.credential = false
			d.plain(h)
		}
	}
	if len(settings.members) == 0 {
		return c
	}
	extra := &node{mark: settings.mark, kind: mapping, members: []member{{mark: settings.mark, key: "headers", value: settings}}}
	out := &credential{mark: settings.mark, path: s.path, key: s.path, typ: authType, settings: extra}
	out.spec = func(d *decoder, into any) {
		if c != nil {
			c.spec(d, into)
		}
		more := reflect.New(reflect.TypeOf(into).Elem())
		d.into(extra, s.path, more.Interface())
		merge(into, more.Interface())
	}
	return out
}

// merge adds the headers of one set of options to another.
func merge(into, more any) {
	a, ok := into.(*auth.HeaderOptions)
	b, same := more.(*auth.HeaderOptions)
	if !ok || !same {
		return
	}
	if a.Headers == nil {
		a.Headers = map[string]auth.Value{}
	}
	maps.Copy(a.Headers, b.Headers)
}

// export makes the public form of a credential. Decode reports problems of its
// own: it may be called long after the document was read.
func (d *decoder) export(c *credential) Credential {
	file, x, spec := d.file, d.x, c.spec
	return Credential{Key: c.key, settings: c.decoded, Spec: auth.Spec{
		Type: c.typ,
		Decode: func(into any) error {
			fresh := &decoder{collector: newCollector(file), x: x, warnings: &warnings{}}
			spec(fresh, into)
			return fresh.err()
		},
	}}
}

// checkCredential has the strategy's own factory look at the settings. What does
// not decode is recorded and kept from the factory, so that it goes on and finds
// the rest.
func (d *decoder) checkCredential(c *credential) {
	src, err := d.registry.New(auth.Spec{Type: c.typ, Decode: func(into any) error {
		c.spec(d, into)
		c.decoded = into
		return nil
	}}, auth.SourceOptions{})
	if err == nil {
		src.Close()
		return
	}
	if c.base != nil && d.bad(c.base.path) {
		return // the same complaint again
	}
	// The registry puts the type before the factory's error.
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	d.located(c.settings, c.path, c.mark, err)
}
