package config

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
)

// redacted stands for what must not be shown.
const redacted = "[redacted]"

// shown is a document for people to read, made while it is read: afterwards
// nobody knows any more which of its texts are secret.
type shown struct {
	text     string
	backends map[string]string
}

// YAML is the document as it is in effect: every default filled in, every key
// under its first name, keys without an effect left out. Secrets are not in it;
// variables and files are named as the document names them, never replaced.
func (d *Document) YAML() string { return d.shown.text }

// BackendYAML is the entry of one backend in the same form, without its name. It
// is empty for a backend that the document does not have.
func (d *Document) BackendYAML(name string) string { return d.shown.backends[name] }

// shower turns a tree that holds no mistake into YAML.
type shower struct{ secrets map[*node]bool }

// show renders a document of which everything was decoded.
func (d *decoder) show(root *node, f *file) shown {
	s := shower{d.secrets}
	out := shown{backends: map[string]string{}}
	top := &yaml.Node{Kind: yaml.MappingNode}
	s.fill(top, root, "", gatewayKeys, func(path string) bool { return path == "$schema" })
	if m := root.get("credentials"); m != nil {
		all := child(top, "credentials")
		for _, c := range m.value.members {
			set(all, c.key, s.credential(c.value))
		}
	}
	servers := child(top, "mcpServers")
	for _, b := range f.MCPServers {
		entry := s.backend(b)
		set(servers, b.key, entry)
		out.backends[b.key] = encode(entry)
	}
	s.fill(top, root, "", tuningKeys, nil)
	out.text = encode(top)
	return out
}

// fill adds the keys of a reference that a mapping has, or that have a default.
func (s shower) fill(out *yaml.Node, n *node, prefix string, keys []Key, skip func(path string) bool) {
	for _, k := range keys {
		path := strings.TrimPrefix(k.Path, prefix)
		if skip != nil && skip(path) {
			continue
		}
		value, steps := n, strings.Split(path, ".")
		for _, step := range steps {
			value = valueOf(value, step)
		}
		var leaf *yaml.Node
		switch {
		case value != nil:
			leaf = s.value(value, steps[len(steps)-1])
		case k.Default != "":
			leaf = &yaml.Node{Kind: yaml.ScalarNode, Value: k.Default}
		default:
			continue
		}
		at := out
		for _, step := range steps[:len(steps)-1] {
			at = child(at, step)
		}
		set(at, steps[len(steps)-1], leaf)
	}
}

// apart are keys of an entry that backend and its neighbors render themselves.
var apart = slices.Concat(urlKeys, []string{"type", "transport", "timeout", "command", "args", "env", "headers", "auth"})

// backend renders one entry of mcpServers.
func (s shower) backend(b *server) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	if b.disabled { // nothing else of it was read
		set(out, "disabled", text("true", "bool"))
		return out
	}
	e := &b.entry
	useless := connectionKeys
	if e.isProcess {
		s.program(out, b)
	} else {
		s.connection(out, b)
		useless = programKeys
	}
	s.fill(out, b.value, "mcpServers.NAME.", serverKeys, func(path string) bool {
		first, _, _ := strings.Cut(path, ".")
		return slices.Contains(apart, first) || slices.Contains(useless, first) || e.isProcess && path == "timeouts.connect"
	})
	if e.Timeout > 0 {
		set(child(out, "timeouts"), "idle", text(short(time.Duration(e.Timeout)), "str"))
	}
	return out
}

// connection adds where a backend is, and what is sent with every request.
func (s shower) connection(out *yaml.Node, b *server) {
	e := &b.entry
	set(out, "url", s.value(b.value.get(e.urlKey).value, "url"))
	transport := backend.TransportHTTP
	if transportOf(e.Type) == backend.TransportSSE || transportOf(e.Transport) == backend.TransportSSE {
		transport = backend.TransportSSE
	}
	set(out, "type", text(transport, "str"))
	if len(e.Headers) > 0 {
		all := child(out, "headers")
		for _, h := range e.Headers {
			v := s.value(h.value, h.key)
			if h.credential {
				v = text(masked(h.value.text), "str")
			}
			set(all, h.key, v)
		}
	}
	if e.Auth.node != nil {
		set(out, "auth", s.credential(e.Auth.node))
	}
}

// program adds what a process is started with.
func (s shower) program(out *yaml.Node, b *server) {
	set(out, "command", s.value(b.value.get("command").value, "command"))
	set(out, "type", text(backend.TransportStdio, "str"))
	if len(b.program.shown) > 0 {
		args := &yaml.Node{Kind: yaml.SequenceNode}
		for _, arg := range b.program.shown {
			args.Content = append(args.Content, text(arg, "str"))
		}
		set(out, "args", args)
	}
	if n := valueOf(b.value, "env"); n != nil && len(n.members) > 0 {
		env := child(out, "env")
		for _, v := range n.members {
			set(env, v.key, text(masked(v.value.text), "str"))
		}
	}
}

// credential renders a section of auth or credentials, with the defaults of its
// type.
func (s shower) credential(n *node) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, first := range []string{"type", "use"} {
		if v := valueOf(n, first); v != nil {
			set(out, first, s.value(v, first))
		}
	}
	for _, m := range n.without("type", "use").members {
		set(out, m.key, s.value(m.value, m.key))
	}
	typ := valueOf(n, "type")
	for _, k := range authKeys {
		if typ == nil || k.Default == "" {
			continue
		}
		if key, ok := strings.CutPrefix(k.Path, typ.text+"."); ok && n.get(key) == nil {
			set(out, key, &yaml.Node{Kind: yaml.ScalarNode, Value: k.Default})
		}
	}
	return out
}

// value renders what stands at a key.
func (s shower) value(n *node, key string) *yaml.Node {
	switch {
	case n.kind == mapping:
		out := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range n.members {
			set(out, m.key, s.value(m.value, m.key))
		}
		return out
	case n.kind == list:
		out := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range n.items {
			out.Content = append(out.Content, s.value(item, key))
		}
		return out
	case s.secrets[n] || confidential(key, n.text):
		return text(masked(n.text), "str")
	}
	return text(n.text, n.tag)
}

// confidential finds secrets where no setting says that there is one: programs
// that embed the gateway have settings of their own.
func confidential(key, value string) bool {
	if strings.EqualFold(value, "bearer") { // the type
		return false
	}
	return secretText(value) || auth.SecretName(key) && !strings.HasSuffix(strings.ToLower(key), "url")
}

// masked shows of a secret where it comes from: references stay, without the
// default in them, and so does the scheme in front.
func masked(secret string) string {
	var b strings.Builder
	literal := func(s string) {
		scheme, _, _ := strings.Cut(s, " ")
		switch {
		case s == "":
		case strings.TrimSpace(s) == scheme && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")):
			b.WriteString(s)
		default:
			b.WriteString(redacted)
		}
	}
	start := 0 // of the literal at hand
	for i := 0; i < len(secret); {
		if !strings.HasPrefix(secret[i:], "${") || i > 0 && secret[i-1] == '$' {
			i++
			continue
		}
		end := strings.IndexByte(secret[i:], '}')
		if end < 0 {
			break
		}
		literal(secret[start:i])
		name, _, fallback := strings.Cut(secret[i+2:i+end], ":-")
		if fallback {
			name += ":-" + redacted
		}
		b.WriteString("${" + name + "}")
		i += end + 1
		start = i
	}
	literal(secret[start:])
	return b.String()
}

// short is a duration without zeros at its end.
func short(d time.Duration) string {
	text := d.String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}

func text(s, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!" + tag, Value: s}
}

// valueOf returns the value of a key, nil when there is none.
func valueOf(n *node, key string) *node {
	if n == nil || n.kind != mapping {
		return nil
	}
	if m := n.get(key); m != nil {
		return m.value
	}
	return nil
}

// child returns the mapping at a key and makes it where there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	c := &yaml.Node{Kind: yaml.MappingNode}
	set(n, key, c)
	return c
}

// set gives a key its value, in its place when it has one.
func set(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, text(key, "str"), value)
}

func encode(n *yaml.Node) string {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return "" // the tree is ours: it can be written
	}
	_ = e.Close()
	return b.String()
}
