package backendtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// LegacyAnswer is how a server that speaks only revisions before 2026-07-28
// meets a request of 2026-07-28. The elder specifications leave it open, and
// servers in the field differ.
type LegacyAnswer uint8

const (
	// LegacyText refuses with 400 and a line of plain text, as Go servers of
	// the time did. It is the default.
	LegacyText LegacyAnswer = iota
	// LegacyJSON refuses with 400 and a JSON-RPC error of code -32000, which no
	// modern server uses, as TypeScript servers do.
	LegacyJSON
	// LegacyMethodNotFound answers 200 with the JSON-RPC error -32601 to
	// server/discover, and serves anything else as if it were of its own time.
	LegacyMethodNotFound
	// LegacyNoSession refuses with 404 whatever comes without a session.
	LegacyNoSession
	// LegacyUnsupported knows of 2026-07-28 without serving it: server/discover
	// lists the elder revisions, other requests get 400 with the JSON-RPC error
	// -32022, as today's SDKs answer when they keep sessions.
	LegacyUnsupported
	// LegacySilent is for servers over stdio, which do not answer when they are
	// asked what they do not know. Over HTTP it is LegacyText.
	LegacySilent
	// LegacyExit is for servers over stdio, which end then. Over HTTP it is
	// LegacyText.
	LegacyExit
)

// WithLegacyAnswer chooses how a server limited to elder revisions by
// WithRevision refuses a request of 2026-07-28. Default LegacyText.
func WithLegacyAnswer(a LegacyAnswer) Option { return serverOption(func(c *config) { c.legacy = a }) }

// JSON-RPC error codes of the gate's refusals.
const (
	codeMethodNotFound     = -32601
	codeLegacyRefusal      = -32000
	codeHeaderMismatch     = -32020
	codeUnsupportedVersion = -32022
)

// gate makes an SDK that speaks every revision a server that speaks some.
type gate struct {
	revisions []string // nil: all
	legacy    LegacyAnswer
	mcpGo     bool
}

func (g gate) servesModern() bool {
	return g.revisions == nil || slices.ContainsFunc(g.revisions, modern)
}

func (g gate) onlyModern() bool {
	return g.revisions != nil && !slices.ContainsFunc(g.revisions, func(r string) bool { return !modern(r) })
}

func modern(revision string) bool { return revision >= firstModern }

func (g gate) supported() []string {
	if g.revisions == nil {
		return knownRevisions
	}
	return slices.DeleteFunc(slices.Clone(knownRevisions), func(r string) bool {
		return !slices.Contains(g.revisions, r)
	})
}

// handle answers a request that the server's revisions exclude, and reports
// whether it did.
func (g gate) handle(w http.ResponseWriter, r *http.Request, m *Message) bool {
	switch {
	case g.revisions == nil:
		return false
	case g.onlyModern():
		return g.refuseLegacy(w, r, m)
	case !g.servesModern() && (m.Modern() || m.Method == "server/discover"):
		return g.refuseModern(w, r, m)
	case m.Method == "initialize":
		g.negotiate(r, m)
		return false
	case m.Revision != "" && !slices.Contains(g.revisions, m.Revision) && !m.Modern():
		http.Error(w, g.unsupportedText(), http.StatusBadRequest)
		return true
	}
	return false
}

func (g gate) unsupportedText() string {
	return "Bad Request: Unsupported protocol version (supported versions: " + strings.Join(g.supported(), ",") + ")"
}

// refuseLegacy is a server of 2026-07-28 alone (streamable HTTP of that
// revision, "Earlier Streamable HTTP Revisions" and "Server Validation").
func (g gate) refuseLegacy(w http.ResponseWriter, r *http.Request, m *Message) bool {
	requested := m.Revision
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodDelete:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return true
	case m.Method == "initialize":
		if asked := initializeRevision(m.Params); asked != "" {
			requested = asked
		}
	case requested == "":
		writeRPC(w, http.StatusBadRequest, m.RPCError(codeHeaderMismatch,
			"Header mismatch: MCP-Protocol-Version is missing", g.versionData("")))
		return true
	case modern(requested):
		return false // the SDK judges modern revisions itself
	}
	writeRPC(w, http.StatusBadRequest, m.RPCError(codeUnsupportedVersion,
		"Unsupported protocol version", g.versionData(requested)))
	return true
}

func (g gate) versionData(requested string) map[string]any {
	data := map[string]any{"supported": g.supported()}
	if requested != "" {
		data["requested"] = requested
	}
	return data
}

func (g gate) refuseModern(w http.ResponseWriter, r *http.Request, m *Message) bool {
	switch g.legacy {
	case LegacyJSON:
		writeRPC(w, http.StatusBadRequest, Message{}.RPCError(codeLegacyRefusal, g.unsupportedText(), nil))
	case LegacyMethodNotFound:
		if m.Method != "server/discover" {
			backdate(r, m)
			return false
		}
		writeRPC(w, http.StatusOK, m.RPCError(codeMethodNotFound, "Method not found", nil))
	case LegacyNoSession:
		http.Error(w, "Invalid session ID", http.StatusNotFound)
	case LegacyUnsupported:
		g.refuseKnowingly(w, m)
	default:
		http.Error(w, g.unsupportedText(), http.StatusBadRequest)
	}
	return true
}

func (g gate) refuseKnowingly(w http.ResponseWriter, m *Message) {
	if m.Method == "server/discover" {
		writeRPC(w, http.StatusOK, m.RPCResult(mustJSON(map[string]any{
			"resultType": "complete", "supportedVersions": g.supported(),
			"capabilities": map[string]any{"tools": map[string]any{"listChanged": true}},
			"ttlMs":        0, "cacheScope": "private",
		})))
		return
	}
	writeRPC(w, http.StatusBadRequest, m.RPCError(codeUnsupportedVersion,
		"Unsupported protocol version", g.versionData(m.Revision)))
}

// negotiate replaces the revision that an initialize asks for by the newest one
// served, where the SDK cannot be told which it may agree to.
func (g gate) negotiate(r *http.Request, m *Message) {
	if !g.mcpGo || slices.Contains(g.revisions, initializeRevision(m.Params)) {
		return
	}
	var body, params map[string]json.RawMessage
	if json.Unmarshal(m.Body, &body) != nil || json.Unmarshal(m.Params, &params) != nil || params == nil {
		return
	}
	legacy := slices.DeleteFunc(g.supported(), modern)
	params["protocolVersion"] = mustJSON(legacy[0])
	body["params"] = mustJSON(params)
	replaceBody(r, mustJSON(body))
}

// backdate takes from a request what a server of an elder revision does not
// know, so that today's SDK treats it as that server would.
func backdate(r *http.Request, m *Message) {
	r.Header.Del("Mcp-Protocol-Version")
	var body, params, meta map[string]json.RawMessage
	if json.Unmarshal(m.Body, &body) != nil || json.Unmarshal(m.Params, &params) != nil ||
		json.Unmarshal(params["_meta"], &meta) != nil {
		return // nothing of 2026-07-28 is in it
	}
	maps.DeleteFunc(meta, func(key string, _ json.RawMessage) bool {
		return strings.HasPrefix(key, "io.modelcontextprotocol/")
	})
	params["_meta"] = mustJSON(meta)
	body["params"] = mustJSON(params)
	replaceBody(r, mustJSON(body))
}

func initializeRevision(params json.RawMessage) string {
	var p struct {
		Revision string `json:"protocolVersion"`
	}
	_ = json.Unmarshal(params, &p) // a broken initialize asks for nothing
	return p.Revision
}

func replaceBody(r *http.Request, body []byte) {
	r.Body = readCloser{bytes.NewReader(body)}
	r.ContentLength = int64(len(body))
}

type readCloser struct{ *bytes.Reader }

// Close implements io.Closer.
func (readCloser) Close() error { return nil }

func writeRPC(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
