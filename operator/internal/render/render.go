// Package render makes the configuration and the objects of a gateway out of a
// VirtualMCPServer and its MCPBackends. It is the only place that converts: what it
// gets is data, what it returns is data, and it asks no cluster.
//
// The sections of the resources have the names of the configuration, so that they go
// into it as they are. What a user wrote cannot refer to variables or files: every text
// is escaped, and the only references in a document are those made here.
package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// Options are what the operator says about all its gateways.
type Options struct {
	// Image is that of gateways whose spec names none.
	Image string
	// BindPodIP makes gateways listen on the address of their pod only, for places where
	// pods share the network of a host. Default: on all addresses.
	BindPodIP bool
	// OperatorNamespace is where the operator runs, for the NetworkPolicy. Empty: in any.
	OperatorNamespace string
}

// Tree is a part of a document.
type Tree = map[string]any

// Gateway is all that a configuration is made of.
type Gateway struct {
	Resource *v1alpha1.VirtualMCPServer
	// Tokens are those of the callers; nil: the one that the operator has made.
	Tokens []v1alpha1.IncomingToken
	// Credentials are the shared ones, Backends the entries of mcpServers. Both are made by
	// the funcs of those names.
	Credentials map[string]Tree
	Backends    map[string]Tree
	// Authorities changes with what is in the ConfigMaps of authorities, which a gateway
	// reads when it starts.
	Authorities string
	Options     Options
}

// Document makes the configuration of a gateway.
func Document(g Gateway) Tree {
	spec := g.Resource.Spec
	doc := Tree{
		"listen": listen(g.Options, MCPPort),
		"admin": Tree{
			"listen": listen(g.Options, AdminPort),
			"token":  fileRef(v1alpha1.SecretKeyRef{Name: AdminSecret(g.Resource.Name), Key: TokenKey}),
		},
		"incomingAuth": Tree{"type": "bearer", "tokens": tokens(g)},
		"mcpServers":   trees(g.Backends),
	}
	for key, section := range map[string]any{
		"catalog": spec.Catalog, "health": spec.Health, "sessions": spec.Sessions, "telemetry": spec.Telemetry,
		"limits": spec.Limits, "log": spec.Log, "drainTimeout": spec.DrainTimeout, "publicURL": spec.PublicURL,
	} {
		if plain := plain(section); plain != nil && plain != "" {
			doc[key] = plain
		}
	}
	if len(g.Credentials) > 0 {
		doc["credentials"] = trees(g.Credentials)
	}
	known(doc, g.Backends)
	return doc
}

// known leaves those names out of the priority that the gateway does not have.
func known(doc Tree, backends map[string]Tree) {
	catalog, _ := doc["catalog"].(Tree)
	names, _ := catalog["priority"].([]any)
	names = slices.DeleteFunc(slices.Clone(names), func(n any) bool {
		name, _ := n.(string)
		return backends[name] == nil
	})
	if delete(catalog, "priority"); len(names) > 0 {
		catalog["priority"] = names
	}
}

// WithBackendsOf makes a document with the backends of one and everything else of another,
// nil when there is no other.
func WithBackendsOf(former, doc Tree) Tree {
	if former == nil {
		return nil
	}
	out := maps.Clone(former)
	for _, key := range []string{"mcpServers", "credentials"} {
		if delete(out, key); doc[key] != nil {
			out[key] = doc[key]
		}
	}
	if c, ok := out["catalog"].(Tree); ok {
		out["catalog"] = maps.Clone(c)
	}
	known(out, Entries(out, "mcpServers"))
	return out
}

// trees keeps the names of a map and forgets the type of what it holds.
func trees(m map[string]Tree) Tree {
	out := Tree{}
	for name, t := range m {
		out[name] = t
	}
	return out
}

// listen is the address of a listener. Brackets suit the addresses of both families.
func listen(o Options, port int) string {
	if o.BindPodIP {
		return fmt.Sprintf("[${%s}]:%d", PodIP, port)
	}
	return fmt.Sprintf(":%d", port)
}

func tokens(g Gateway) []any {
	if g.Tokens == nil {
		return []any{fileRef(v1alpha1.SecretKeyRef{Name: TokenSecret(g.Resource.Name), Key: TokenKey})}
	}
	var out []any
	for _, t := range g.Tokens {
		if t.SecretKeyRef != nil {
			out = append(out, fileRef(*t.SecretKeyRef))
		} else {
			out = append(out, escape(t.Digest))
		}
	}
	return out
}

// Backend makes the entry of a backend. url is its address, which differs from that of
// its spec when it is a Service.
func Backend(b *v1alpha1.MCPBackend, url string) Tree {
	entry, _ := plain(b.Spec).(Tree)
	delete(entry, "serviceRef")
	entry["url"] = escape(url)
	if t := b.Spec.TLS; t != nil {
		files := Tree{}
		if t.CAConfigMapRef != nil {
			files["caFile"] = caPath(*t.CAConfigMapRef)
		}
		if t.ClientCertificateRef != nil {
			files["certFile"] = SecretPath(v1alpha1.SecretKeyRef{Name: t.ClientCertificateRef.Name, Key: "tls.crt"})
			files["keyFile"] = SecretPath(v1alpha1.SecretKeyRef{Name: t.ClientCertificateRef.Name, Key: "tls.key"})
		}
		entry["tls"] = files
	}
	return entry
}

// Credential makes the entry of a shared credential.
func Credential(c v1alpha1.Credential) Tree {
	t, _ := plain(c).(Tree)
	return t
}

// plain makes a part of a document of a part of a resource: the same names and values,
// texts escaped, secrets by reference. nil for what is not there.
func plain(section any) any {
	data, err := json.Marshal(section)
	if err != nil {
		panic(fmt.Sprintf("render: a resource cannot be written as JSON: %v", err)) // its types can
	}
	var out any
	if err := yaml.Unmarshal(data, &out); err != nil {
		panic(fmt.Sprintf("render: JSON cannot be read as YAML: %v", err))
	}
	return convert(out)
}

func convert(v any) any {
	switch v := v.(type) {
	case Tree:
		if ref, ok := v["secretKeyRef"].(Tree); ok && len(v) == 1 {
			name, _ := ref["name"].(string)
			key, _ := ref["key"].(string)
			return fileRef(v1alpha1.SecretKeyRef{Name: name, Key: key})
		}
		for k, item := range v {
			v[k] = convert(item)
		}
	case []any:
		for i, item := range v {
			v[i] = convert(item)
		}
	case string:
		return escape(v)
	}
	return v
}

// escape makes a text that means itself in a document.
func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// YAML writes a document; the same document is the same text.
func YAML(doc Tree) string {
	text, err := yaml.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("render: a document cannot be written as YAML: %v", err)) // it came from JSON
	}
	return string(text)
}

// Read reads a document that YAML has written.
func Read(text string) (Tree, error) {
	doc := Tree{}
	err := yaml.Unmarshal([]byte(text), &doc)
	return doc, err
}

// Entries are the entries of a section of a document.
func Entries(doc Tree, section string) map[string]Tree {
	entries, _ := doc[section].(Tree)
	out := make(map[string]Tree, len(entries))
	for name, e := range entries {
		if t, ok := e.(Tree); ok {
			out[name] = t
		}
	}
	return out
}

// sorted are the keys of a set in order.
func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
