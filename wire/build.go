package wire

import "strconv"

// RequestBody builds a request. id and params are raw JSON; params may be nil.
func RequestBody(id []byte, method string, params []byte) []byte {
	b := make([]byte, 0, 48+len(id)+len(method)+len(params))
	b = append(append(b, `{"jsonrpc":"2.0","id":`...), id...)
	return appendCall(b, method, params)
}

// NotificationBody builds a notification. params is raw JSON and may be nil.
func NotificationBody(method string, params []byte) []byte {
	b := make([]byte, 0, 40+len(method)+len(params))
	return appendCall(append(b, `{"jsonrpc":"2.0"`...), method, params)
}

func appendCall(b []byte, method string, params []byte) []byte {
	b = Quote(append(b, `,"method":`...), method)
	if params != nil {
		b = append(append(b, `,"params":`...), params...)
	}
	return append(b, '}')
}

// ResultBody builds a successful answer. id and result are raw JSON; a nil
// result is an empty object.
func ResultBody(id, result []byte) []byte {
	if result == nil {
		result = []byte("{}")
	}
	b := make([]byte, 0, 40+len(id)+len(result))
	b = append(append(b, `{"jsonrpc":"2.0","id":`...), id...)
	return append(append(append(b, `,"result":`...), result...), '}')
}

// ErrorBody builds an error answer. id and data are raw JSON and may be nil. An
// answer to something without a readable id has none, as the schema allows no
// null there.
func ErrorBody(id []byte, code int, msg string, data []byte) []byte {
	b := make([]byte, 0, 80+len(id)+len(msg)+len(data))
	b = append(b, `{"jsonrpc":"2.0"`...)
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	b = strconv.AppendInt(append(b, `,"error":{"code":`...), int64(code), 10)
	b = Quote(append(b, `,"message":`...), msg)
	if len(data) > 0 {
		b = append(append(b, `,"data":`...), data...)
	}
	return append(b, '}', '}')
}

// InitializeRequest opens a session of an elder revision (basic/lifecycle,
// 2025-11-25). capabilities and clientInfo are raw JSON objects; nil
// capabilities are {}. clientInfo is required there: {"name":…,"version":…}.
func InitializeRequest(id []byte, r Revision, capabilities, clientInfo []byte) []byte {
	if capabilities == nil {
		capabilities = []byte("{}")
	}
	p := Quote([]byte(`{"protocolVersion":`), string(r))
	p = append(append(p, `,"capabilities":`...), capabilities...)
	p = append(append(p, `,"clientInfo":`...), clientInfo...)
	return RequestBody(id, MethodInitialize, append(p, '}'))
}

// InitializedNotification ends the handshake that [InitializeRequest] began.
func InitializedNotification() []byte { return NotificationBody(NoteInitialized, nil) }

// CancelledNotification tells an elder server that the answer to a request is
// not wanted any more. id is that request's id as raw JSON; reason may be
// empty. Over HTTP 2026-07-28 closes the answer's stream instead.
func CancelledNotification(id []byte, reason string) []byte {
	p := append([]byte(`{"requestId":`), id...)
	if reason != "" {
		p = Quote(append(p, `,"reason":`...), reason)
	}
	return NotificationBody(NoteCancelled, append(p, '}'))
}

// PingRequest builds a ping; 2026-07-28 has none.
func PingRequest(id []byte) []byte { return RequestBody(id, MethodPing, nil) }

// DiscoverRequest builds server/discover, which 2026-07-28 introduced.
func DiscoverRequest(id []byte, meta RequestMeta) []byte {
	return RequestBody(id, MethodDiscover, paramsOf(meta, nil))
}

// ListRequest builds a request for one page of a list; an empty cursor asks for
// the first.
func ListRequest(id []byte, method, cursor string, meta RequestMeta) []byte {
	var own []byte
	if cursor != "" {
		own = Quote([]byte(`"cursor":`), cursor)
	}
	return RequestBody(id, method, paramsOf(meta, own))
}

// Filter names the notifications that a standing stream of 2026-07-28 is to
// carry (basic/patterns/subscriptions, "Notification Filter").
type Filter struct {
	Tools     bool     // the list of tools changed
	Prompts   bool     // the list of prompts changed
	Resources bool     // the list of resources changed
	Updated   []string // these resources changed, by URI
}

// appendJSON appends the filter as the request states it.
func (f Filter) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for _, want := range []struct {
		on   bool
		name string
	}{{f.Tools, "toolsListChanged"}, {f.Prompts, "promptsListChanged"}, {f.Resources, "resourcesListChanged"}} {
		if want.on {
			b = append(Quote(b, want.name), `:true,`...)
		}
	}
	if len(f.Updated) > 0 {
		b = append(b, `"resourceSubscriptions":[`...)
		for _, uri := range f.Updated {
			b = append(Quote(b, uri), ',')
		}
		b = append(b[:len(b)-1], ']', ',')
	}
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// ListenRequest builds subscriptions/listen, which opens a standing stream of
// 2026-07-28.
func ListenRequest(id []byte, f Filter, meta RequestMeta) []byte {
	return RequestBody(id, MethodListen, paramsOf(meta, f.appendJSON([]byte(`"notifications":`))))
}

// paramsOf builds params of a method's own members, given without brackets, and
// the metadata; nil when there are neither.
func paramsOf(meta RequestMeta, own []byte) []byte {
	kvs := meta.KVs()
	if kvs == nil && own == nil {
		return nil
	}
	b := append([]byte{'{'}, own...)
	if kvs != nil {
		if own != nil {
			b = append(b, ',')
		}
		b = appendObject(append(b, `"_meta":`...), kvs)
	}
	return append(b, '}')
}
