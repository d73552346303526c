package config

import (
	"net/http"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// header is one member of a backend's headers.
type header struct {
	member
	path       string
	canonical  string
	text       string // expanded; empty for a credential
	refers     bool   // its value comes from a variable or a file
	credential bool   // it is sent by an auth strategy, with a guard
}

// headerList is the map headers in the order of the document.
type headerList []*header

func (l *headerList) decodeNode(d *decoder, n *node, path string) {
	if n.kind != mapping {
		d.wrong(n, path, "a mapping")
		return
	}
	seen := map[string]string{}
	for _, m := range n.members {
		h := &header{member: m, path: join(path, m.key), canonical: http.CanonicalHeaderKey(m.key)}
		if other, twice := seen[h.canonical]; twice {
			d.add(m.mark, h.path, "is the same header as "+other, "remove one of them")
			continue
		}
		seen[h.canonical] = m.key
		switch {
		case m.value.kind != scalar:
			d.wrong(m.value, h.path, "a text")
			continue
		case m.value.tag == "null" || m.value.text == "":
			d.add(m.value.mark, h.path, "is empty", "give it a value or remove the key")
			continue
		}
		h.refers = refers(m.value.text)
		h.credential = h.refers || auth.SecretName(m.key)
		*l = append(*l, h)
	}
}

// plain expands a header that is no credential.
func (d *decoder) plain(h *header) {
	s, ok := d.scalar(h.value, h.path, "a text")
	if !ok {
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || strings.TrimSpace(s) != s {
		d.add(h.value.mark, h.path, "has a line break, a control character or white space at an end", "take it out of the value")
		return
	}
	h.text = s
}
