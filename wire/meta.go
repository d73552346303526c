package wire

import (
	"bytes"
	"strings"
)

// MetaEdits appends to dst the edits that give the message b, scanned as e, the
// wanted members of params._meta: each of set is replaced where it stands or
// put in front if it is not there; a member whose Value is nil is taken out;
// and so is every other member whose name begins with drop, unless drop is "".
// Params and _meta are created as needed, only to hold a member; they stay when
// they become empty. Everything else keeps its bytes.
//
// b must be a request or a notification that [Scan] accepted. The edits touch
// nothing outside params._meta (or the place where it belongs) and can be
// handed to [Splice] together with others.
func MetaEdits(dst []Edit, b []byte, e *Envelope, set []KV, drop string) []Edit {
	switch {
	case e.Meta.Present() && b[e.Meta.Start] == '{':
		m := metaEditor{cursor: cursor{b: b, i: e.Meta.Start}, edits: dst, set: set, drop: drop}
		return m.run()
	case !wanted(set):
		return dst
	case e.Meta.Present(): // null
		return append(dst, Edit{e.Meta, appendObject(nil, set)})
	case e.Params.Present() && b[e.Params.Start] == '{':
		in := appendObject([]byte(`"_meta":`), set)
		c := cursor{b: b, i: e.Params.Start}
		if c.open('}') {
			in = append(in, ',')
		}
		at := e.Params.Start + 1
		return append(dst, Edit{Span{at, at}, in})
	case e.Params.Present(): // null
		in := appendObject([]byte(`{"_meta":`), set)
		return append(dst, Edit{e.Params, append(in, '}')})
	default:
		in := appendObject([]byte(`,"params":{"_meta":`), set)
		return append(dst, Edit{Span{e.MethodAt.End, e.MethodAt.End}, append(in, '}')})
	}
}

// wanted reports whether set has anything to put in.
func wanted(set []KV) bool {
	for _, kv := range set {
		if kv.Value != nil {
			return true
		}
	}
	return false
}

// appendObject appends an object of those members of set that have a value.
func appendObject(dst []byte, set []KV) []byte {
	dst = append(dst, '{')
	return append(appendMembers(dst, set, nil), '}')
}

// appendMembers appends those members of set that have a value and are not in
// have, with commas between them.
func appendMembers(dst []byte, set []KV, have func(n int) bool) []byte {
	first := true
	for n, kv := range set {
		if kv.Value == nil || have != nil && have(n) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(Quote(dst, kv.Key), ':'), kv.Value...)
	}
	return dst
}

// metaEditor walks an existing _meta once and collects the edits.
//
// Where members are taken out, the commas follow one rule: a member with a
// survivor before it goes together with the comma in front of it; those before
// the first survivor go together with the comma behind them.
type metaEditor struct {
	cursor
	edits []Edit
	set   []KV
	drop  string

	found    []bool // per member of set; nil while none was found
	leading  Span   // what to take out at the front, up to the next survivor
	last     int    // where the previous member ended
	survives bool   // a member was kept
}

func (m *metaEditor) run() []Edit {
	front, insertAt := len(m.edits), m.i+1
	for ok := m.open('}'); ok; ok = m.more('}') {
		start := m.i
		m.member(start, m.key())
		m.last = m.i
	}
	if m.leading.Present() {
		m.edits = append(m.edits, Edit{Span: m.leading})
	}
	in := appendMembers(nil, m.set, m.has)
	if len(in) > 0 {
		if m.survives {
			in = append(in, ',')
		}
		// In front of the others, so that edits stay sorted.
		m.edits = append(m.edits, Edit{})
		copy(m.edits[front+1:], m.edits[front:])
		m.edits[front] = Edit{Span{insertAt, insertAt}, in}
	}
	return m.edits
}

// member decides about the member that starts at start; the cursor is at its
// value and is left behind it.
func (m *metaEditor) member(start int, key []byte) {
	n := m.index(key)
	v := m.value()
	keep := true
	switch {
	case n >= 0:
		m.mark(n)
		keep = m.set[n].Value != nil
	case m.drop != "":
		keep = !bytes.HasPrefix(key, []byte(m.drop))
	}
	switch {
	case keep && !m.survives && m.leading.Present():
		m.leading.End = start
		m.edits = append(m.edits, Edit{Span: m.leading})
		m.leading = Span{}
	case !keep && m.survives:
		m.edits = append(m.edits, Edit{Span: Span{m.last, v.End}})
	case !keep && !m.leading.Present():
		m.leading = Span{start, v.End}
	case !keep:
		m.leading.End = v.End
	}
	m.survives = m.survives || keep
	if keep && n >= 0 && !bytes.Equal(v.Of(m.b), m.set[n].Value) {
		m.edits = append(m.edits, Edit{v, m.set[n].Value})
	}
}

func (m *metaEditor) index(key []byte) int {
	for n := range m.set {
		if m.set[n].Key == string(key) {
			return n
		}
	}
	return -1
}

func (m *metaEditor) mark(n int) {
	if m.found == nil {
		m.found = make([]bool, len(m.set))
	}
	m.found[n] = true
}

func (m *metaEditor) has(n int) bool { return n < len(m.found) && m.found[n] }

// RequestMeta is the metadata that every request of 2026-07-28 carries
// (basic/index, "Per-request protocol fields"). Values are raw JSON.
type RequestMeta struct {
	Revision     Revision // empty: no metadata, as the elder revisions want it
	ClientInfo   []byte   // may be nil
	Capabilities []byte   // nil is {}
	LogLevel     string   // may be empty
}

// KVs returns the members of _meta, for [MetaEdits]; fields that are empty are
// left alone. It returns nil when there is no revision.
func (m RequestMeta) KVs() []KV {
	if m.Revision == "" {
		return nil
	}
	caps := m.Capabilities
	if caps == nil {
		caps = []byte("{}")
	}
	kvs := []KV{
		{MetaProtocolVersion, Quote(nil, string(m.Revision))},
		{MetaClientCapabilities, caps},
	}
	if m.ClientInfo != nil {
		kvs = append(kvs, KV{MetaClientInfo, m.ClientInfo})
	}
	if m.LogLevel != "" {
		kvs = append(kvs, KV{MetaLogLevel, Quote(nil, m.LogLevel)})
	}
	return kvs
}

var withoutRequestMeta = []KV{
	{Key: MetaProtocolVersion}, {Key: MetaClientInfo}, {Key: MetaClientCapabilities}, {Key: MetaLogLevel},
}

// WithoutRequestMeta returns what takes the metadata of 2026-07-28 out of _meta,
// for [MetaEdits] on the way to an elder server. Other keys under the
// protocol's prefix belong to extensions and stay. The slice is shared and must
// not be changed.
func WithoutRequestMeta() []KV { return withoutRequestMeta }

// ReservedMeta reports whether a key of _meta is reserved for the protocol: its
// prefix has modelcontextprotocol or mcp as second label.
func ReservedMeta(key string) bool {
	prefix, _, ok := strings.Cut(key, "/")
	if !ok {
		return false
	}
	_, rest, ok := strings.Cut(prefix, ".")
	label, _, _ := strings.Cut(rest, ".")
	return ok && (label == "modelcontextprotocol" || label == "mcp")
}
