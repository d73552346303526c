package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/backend"
)

// server is an entry of mcpServers with its place in the document.
type server struct {
	member
	path     string
	slug     string
	disabled bool
	entry    entry
	program  program
}

// serverSection is the map mcpServers in the order of the document, which is the
// order in which backends are asked and listed.
type serverSection []*server

func (s *serverSection) decodeNode(d *decoder, n *node, path string) {
	if n.kind == scalar && n.tag == "null" {
		return
	}
	if n.kind != mapping {
		d.wrong(n, path, "a mapping")
		return
	}
	for _, m := range n.members {
		v := &server{member: m, path: join(path, m.key), slug: Slug(m.key)}
		*s = append(*s, v)
		if m.value.kind != mapping {
			d.wrong(m.value, v.path, "a mapping")
			v.disabled = true
			continue
		}
		if x := m.value.get("disabled"); x != nil {
			d.into(x.value, join(v.path, "disabled"), &v.disabled)
		}
		// What is switched off may be as unfinished as it likes.
		if !v.disabled {
			v.entry.who = m.key
			d.into(m.value, v.path, &v.entry)
		}
	}
}

// Slug is the public prefix and the path segment of a backend: its name in lower
// case, everything but a-z, 0-9 and - replaced by -.
func Slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// maxSlug leaves room for a tool's name in a public name of 64 characters.
const maxSlug = 40

// checkSlugs wants every backend to have a public prefix of its own.
func (d *decoder) checkSlugs(servers serverSection) {
	first := map[string]*server{}
	for _, s := range servers {
		if s.disabled {
			continue
		}
		switch f := first[s.slug]; {
		case strings.Trim(s.slug, "-") == "":
			d.add(s.mark, s.path, "the name has no letter and no digit of a-z and 0-9", "rename it")
		case len(s.slug) > maxSlug:
			d.add(s.mark, s.path, fmt.Sprintf("the name is longer than %d characters", maxSlug), "shorten it: it is the prefix of public names")
		case f != nil:
			d.add(s.mark, s.path, fmt.Sprintf("has the same public name %q as %s in line %d", s.slug, f.path, f.line), "rename one of them")
		default:
			first[s.slug] = s
		}
	}
}

// ignored are keys of clients that mean nothing to a gateway, and why.
var ignored = map[string]string{
	"autoApprove": "clients decide what needs approval",
	"alwaysAllow": "clients decide what needs approval",
	"trust":       "clients decide what needs approval",
	"description": "it is for readers of the file",
	"name":        "a backend is called by its key in mcpServers",
	"title":       "a backend is called by its key in mcpServers",
	"icon":        "it is for the display of a client",
	"gallery":     "it is for the client that installed the server",
	"version":     "it is for the client that installed the server",
}

func (e *entry) decodeKey(d *decoder, m *member, path string) bool {
	why, ok := ignored[m.key]
	if ok {
		d.warn(m, path, e.who, why)
	}
	return ok
}

// urlKeys are the names of the key url.
var urlKeys = []string{"url", "httpUrl", "serverUrl"}

// prepare looks at the keys on which the meaning of others depends, before any of
// them is decoded.
func (e *entry) prepare(d *decoder, n *node, path string) {
	for _, k := range urlKeys {
		m := n.get(k)
		switch {
		case m == nil:
		case e.hasURL:
			d.add(m.mark, join(path, k), "is given beside "+e.urlKey, "keep one of the two")
		default:
			e.hasURL, e.urlKey = true, k
		}
	}
	listOfTools(n)
	e.isProcess = false
	command := n.get("command")
	for _, k := range []string{"type", "transport"} {
		m := n.get(k)
		if m == nil || m.value.kind != scalar {
			continue
		}
		switch name := transportOf(m.value.text); {
		case name == backend.TransportStdio && e.hasURL:
			d.add(m.value.mark, join(path, k), quote(m.value)+" starts a process, and there is "+e.urlKey, "keep one of the two")
		case name == backend.TransportStdio:
			e.isProcess = true
		case name != "" && command != nil && !e.hasURL:
			d.add(m.value.mark, join(path, k), quote(m.value)+" needs a url, and there is a command", "remove it: a command is started")
			e.isProcess = true
		}
	}
	switch {
	case command != nil && e.hasURL:
		d.add(command.mark, join(path, "command"), "is given beside "+e.urlKey, "keep one of the two")
	case command != nil:
		e.isProcess = true
	}
}

// transportOf reads a transport by any of its spellings; "" is none of them.
func transportOf(text string) string {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(text)) {
	case "http", "streamablehttp":
		return backend.TransportHTTP
	case "sse":
		return backend.TransportSSE
	case "stdio", "local":
		return backend.TransportStdio
	}
	return ""
}

// checkType reports a transport that is none.
func (d *decoder) checkType(s *server, key, text string) {
	m := s.value.get(key)
	path := join(s.path, key)
	if m == nil || d.bad(path) {
		return
	}
	if transportOf(text) == "" {
		d.add(m.value.mark, path, fmt.Sprintf("unknown type %s", quote(m.value)), suggestion(m.value.text, []string{"http", "streamable-http", "streamableHttp", "sse", "stdio"}))
	}
}

// clientTimeout is the key timeout of clients: how long a call may take. They do
// not agree on its unit.
type clientTimeout time.Duration

// maxSeconds is the most that clients which count in seconds accept. More is
// taken as milliseconds.
const maxSeconds = 3600

func (t *clientTimeout) decodeNode(d *decoder, n *node, path string) {
	const want = "a duration"
	if n.kind != scalar || n.tag == "null" {
		d.wrong(n, path, want)
		return
	}
	s, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	v, err := time.ParseDuration(s)
	if f, ferr := strconv.ParseFloat(s, 64); ferr == nil && f >= 0 && f < 1e12 {
		unit := time.Second
		if f > maxSeconds {
			unit = time.Millisecond
		}
		v, err = time.Duration(f*float64(unit)), nil
	}
	switch {
	case err != nil || v < 0:
		d.add(n.mark, path, fmt.Sprintf("expected %s, got %s", want, quote(n)), "write a number with its unit, such as 30s or 5m")
	case v == 0:
		d.add(n.mark, path, "is 0", "remove it, or write timeouts: {idle: 0} for no limit")
	}
	*t = clientTimeout(v)
}
