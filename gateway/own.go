package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

// capabilities are the same at every endpoint and at all times: what exists
// comes and goes with the backends, what the gateway can do does not. Backends add
// what is beyond these: tasks, extensions, experiments.
const capabilities = `{"completions":{},"logging":{},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"tools":{"listChanged":true}}`

// Members that 2026-07-28 wants in results (server/utilities/caching). Lists
// may change at any moment; whom a client may share them with, its credentials
// decide. What the gateway can do changes with the program only.
const (
	listHints     = `"resultType":"complete","ttlMs":0,"cacheScope":"private",`
	discoverHints = `"resultType":"complete","ttlMs":60000,"cacheScope":"private",`
)

// ownResults are the parts of the gateway's own answers that never change.
type ownResults struct {
	serverInfo []byte // the Implementation object
	meta       []byte // `"_meta":{…}`, which identifies the gateway
	versions   []byte // `"supportedVersions":[…]`
}

func newOwnResults(i ServerInfo) ownResults {
	var o ownResults
	o.serverInfo = append(wire.Quote(append(wire.Quote([]byte(`{"name":`), i.Name), `,"version":`...), i.Version), '}')
	o.meta = slices.Concat([]byte(`"_meta":{"`+wire.MetaServerInfo+`":`), o.serverInfo, []byte("}"))
	var quoted []string
	for _, r := range wire.Revisions() {
		quoted = append(quoted, string(wire.Quote(nil, string(r))))
	}
	o.versions = []byte(`"supportedVersions":[` + strings.Join(quoted, ",") + "]")
	return o
}

// initialized is the result of initialize.
func (o *ownResults) initialized(r wire.Revision, extras []byte, instructions string) []byte {
	b := wire.Quote([]byte(`{"protocolVersion":`), string(r))
	b = appendCapabilities(b, extras)
	b = append(append(b, `,"serverInfo":`...), o.serverInfo...)
	return append(appendInstructions(b, instructions), '}')
}

// discovered is the result of server/discover.
func (o *ownResults) discovered(extras []byte, instructions string) []byte {
	b := append([]byte(`{`+discoverHints), o.versions...)
	b = appendCapabilities(b, extras)
	b = append(append(appendInstructions(b, instructions), ','), o.meta...)
	return append(b, '}')
}

// appendCapabilities puts those of the gateway together with what backends add.
func appendCapabilities(b, extras []byte) []byte {
	b = append(append(b, `,"capabilities":`...), capabilities[:len(capabilities)-1]...)
	return append(append(b, extras...), '}')
}

func appendInstructions(b []byte, instructions string) []byte {
	if instructions == "" {
		return b
	}
	return wire.Quote(append(b, `,"instructions":`...), instructions)
}

// instructions are those of the gateway and of the backends at the endpoint.
func (q *request) instructions() string {
	own, theirs := q.g.o.Instructions, q.view().Instructions()
	if own == "" || theirs == "" {
		return own + theirs
	}
	return own + "\n\n" + theirs
}

// reply answers with a result of the gateway's own.
func (q *request) reply(result []byte) { send(q.w, http.StatusOK, wire.ResultBody(q.id(), result)) }

// readOwn answers with a resource of the gateway itself.
func (q *request) readOwn(e *catalog.Entry) {
	text, mimeType := q.g.o.Read(e.Name)
	b := []byte(`{`)
	if q.modern() {
		b = append(append(append(b, listHints...), q.g.own.meta...), ',')
	}
	b = wire.Quote(append(b, `"contents":[{"uri":`...), e.Name)
	b = wire.Quote(append(b, `,"mimeType":`...), mimeType)
	b = wire.Quote(append(b, `,"text":`...), string(text))
	q.reply(append(b, `}]}`...))
}

// serve serves a request whose era has been settled.
func (q *request) serve() {
	switch known := q.revision.Has(q.env.Method); {
	case known:
		q.serveKnown()
	case wire.ClassOf(q.env.Method) == wire.ClassUnknown, strings.HasPrefix(q.env.Method, "tasks/"):
		q.extension()
	default: // of the other era
		q.unknownMethod()
	}
}

func (q *request) serveKnown() {
	switch q.env.Method {
	case wire.MethodToolsCall, wire.MethodPromptsGet, wire.MethodRead, wire.MethodComplete:
		q.forward()
	case wire.MethodToolsList:
		q.list(catalog.Tool)
	case wire.MethodPromptsList:
		q.list(catalog.Prompt)
	case wire.MethodResources:
		q.list(catalog.Resource)
	case wire.MethodTemplates:
		q.list(catalog.Template)
	case wire.MethodPing:
		q.reply(nil)
	case wire.MethodSetLevel:
		q.setLevel()
	case wire.MethodSubscribe, wire.MethodUnsubscribe:
		q.subscribe(q.env.Method == wire.MethodSubscribe)
	case wire.MethodDiscover:
		q.reply(q.g.own.discovered(q.view().Extras(true), q.instructions()))
	case wire.MethodListen:
		q.listen()
	default:
		q.extension()
	}
}

// list answers with a page of the catalogue. The definitions are written from
// where they are, without a copy.
func (q *request) list(k catalog.Kind) {
	cursor := ""
	if at := q.env.Cursor; at.Present() {
		cursor, _ = wire.Unquote(at.Of(q.body))
	}
	page, err := q.view().List(k, cursor)
	if err != nil {
		q.invalid(http.StatusOK, err.Error()+": begin again without one")
		return
	}
	var room [256]byte
	head := append(append(append(room[:0], `{"jsonrpc":"2.0","id":`...), q.id()...), `,"result":{`...)
	tail := []byte("}}")
	if q.modern() {
		head = append(head, listHints...)
		tail = slices.Concat([]byte(","), q.g.own.meta, tail)
	}
	h := q.w.Header()
	h["Content-Type"] = typeJSON
	setLength(h, len(head)+len(page)+len(tail))
	_, _ = q.w.Write(head) // a client that left is told by its context
	_, _ = q.w.Write(page)
	_, _ = q.w.Write(tail)
}
