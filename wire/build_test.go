package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuilders(t *testing.T) {
	modern := RequestMeta{Revision: Rev20260728, ClientInfo: []byte(`{"name":"n","version":"1"}`)}
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"n","version":"1"}}`
	id := []byte(`"r-1"`)
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"request", RequestBody([]byte("1"), "x/\"y\"", []byte(`{"a":1}`)), `{"jsonrpc":"2.0","id":1,"method":"x/\"y\"","params":{"a":1}}`},
		{"request without params", RequestBody([]byte("1"), "x", nil), `{"jsonrpc":"2.0","id":1,"method":"x"}`},
		{"notification", NotificationBody(NoteToolsChanged, nil), `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`},
		{"notification with params", NotificationBody("x", []byte("{}")), `{"jsonrpc":"2.0","method":"x","params":{}}`},
		{"result", ResultBody(id, []byte(`{"a":1}`)), `{"jsonrpc":"2.0","id":"r-1","result":{"a":1}}`},
		{"empty result", ResultBody(id, nil), `{"jsonrpc":"2.0","id":"r-1","result":{}}`},
		{"error", ErrorBody(id, MethodNotFound, "no \"x\"\n", []byte(`{"a":1}`)), `{"jsonrpc":"2.0","id":"r-1","error":{"code":-32601,"message":"no \"x\"\n","data":{"a":1}}}`},
		{"error without id", ErrorBody(nil, ParseError, "m", nil), `{"jsonrpc":"2.0","error":{"code":-32700,"message":"m"}}`},
		{"initialize", InitializeRequest(id, Rev20251125, []byte(`{"roots":{}}`), []byte(`{"name":"n","version":"1"}`)),
			`{"jsonrpc":"2.0","id":"r-1","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"n","version":"1"}}}`},
		{"initialize without capabilities", InitializeRequest(id, Rev20250326, nil, []byte(`{}`)),
			`{"jsonrpc":"2.0","id":"r-1","method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{}}}`},
		{"initialized", InitializedNotification(), `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
		{"cancelled", CancelledNotification(id, "gone"), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r-1","reason":"gone"}}`},
		{"cancelled without reason", CancelledNotification(id, ""), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r-1"}}`},
		{"ping", PingRequest(id), `{"jsonrpc":"2.0","id":"r-1","method":"ping"}`},
		{"discover", DiscoverRequest(id, modern), `{"jsonrpc":"2.0","id":"r-1","method":"server/discover","params":{` + meta + `}}`},
		{"list", ListRequest(id, MethodToolsList, "", RequestMeta{}), `{"jsonrpc":"2.0","id":"r-1","method":"tools/list"}`},
		{"list with cursor", ListRequest(id, MethodToolsList, "a\"b", RequestMeta{}), `{"jsonrpc":"2.0","id":"r-1","method":"tools/list","params":{"cursor":"a\"b"}}`},
		{"modern list", ListRequest(id, MethodToolsList, "", modern), `{"jsonrpc":"2.0","id":"r-1","method":"tools/list","params":{` + meta + `}}`},
		{"modern list with cursor", ListRequest(id, MethodToolsList, "c", modern), `{"jsonrpc":"2.0","id":"r-1","method":"tools/list","params":{"cursor":"c",` + meta + `}}`},
		{"listen to nothing", ListenRequest(id, Filter{}, modern), `{"jsonrpc":"2.0","id":"r-1","method":"subscriptions/listen","params":{"notifications":{},` + meta + `}}`},
		{"listen", ListenRequest(id, Filter{Tools: true, Prompts: true, Resources: true}, modern),
			`{"jsonrpc":"2.0","id":"r-1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true},` + meta + `}}`},
		{"listen to resources", ListenRequest(id, Filter{Tools: true, Updated: []string{"file:///a", "b\""}}, modern),
			`{"jsonrpc":"2.0","id":"r-1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a","b\""]},` + meta + `}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, string(tc.got)); diff != "" {
				t.Error(diff)
			}
			if _, err := Scan(tc.got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRevisions(t *testing.T) {
	for r, want := range map[Revision][2]bool{ // known, stateless
		Rev20250326: {true, false}, Rev20250618: {true, false}, Rev20251125: {true, false}, Rev20260728: {true, true},
		"2024-11-05": {false, false}, "": {false, false}, "2027-01-01": {false, true},
	} {
		if got := [2]bool{r.Known(), r.Stateless()}; got != want {
			t.Errorf("%q: %v", r, got)
		}
	}
	for asked, want := range map[string]Revision{
		"2025-03-26": Rev20250326, "2025-06-18": Rev20250618, "2025-11-25": Rev20251125,
		"2026-07-28": Rev20251125, "2024-11-05": Rev20251125, "": Rev20251125, "garbage": Rev20251125,
	} {
		if got := Negotiate(asked); got != want {
			t.Errorf("Negotiate(%q) = %s", asked, got)
		}
	}
	for _, tc := range []struct {
		offered []string
		want    Revision
	}{
		{[]string{"2025-03-26", "2026-07-28", "2025-11-25"}, Rev20260728},
		{[]string{"2024-11-05", "2025-06-18", "2099-01-01"}, Rev20250618},
		{[]string{"2024-11-05"}, ""}, {nil, ""},
	} {
		if got, ok := Newest(tc.offered); got != tc.want || ok != (tc.want != "") {
			t.Errorf("Newest(%v) = %q, %v", tc.offered, got, ok)
		}
	}
	if all := Revisions(); len(all) != 4 || all[0] != Rev20260728 {
		t.Error(all)
	}
}

func TestMethods(t *testing.T) {
	for _, tc := range []struct {
		method        string
		class         Class
		field         string
		elder, modern bool // 2025-11-25 and 2026-07-28 have it
		cacheable     bool
	}{
		{MethodInitialize, ClassHandshake, "", true, false, false},
		{MethodDiscover, ClassHandshake, "", false, true, true},
		{MethodPing, ClassHandshake, "", true, false, false},
		{MethodToolsList, ClassList, "", true, true, true},
		{MethodPromptsList, ClassList, "", true, true, true},
		{MethodResources, ClassList, "", true, true, true},
		{MethodTemplates, ClassList, "", true, true, true},
		{MethodToolsCall, ClassCall, "name", true, true, false},
		{MethodPromptsGet, ClassCall, "name", true, true, false},
		{MethodRead, ClassCall, "uri", true, true, true},
		{MethodComplete, ClassCall, "", true, true, false},
		{MethodListen, ClassListen, "", false, true, false},
		{MethodSubscribe, ClassState, "", true, false, false},
		{MethodUnsubscribe, ClassState, "", true, false, false},
		{MethodSetLevel, ClassState, "", true, false, false},
		{MethodElicit, ClassClient, "", true, false, false},
		{MethodSample, ClassClient, "", true, false, false},
		{MethodRoots, ClassClient, "", true, false, false},
		{NoteToolsChanged, ClassNotification, "", true, true, false},
		{NoteInitialized, ClassNotification, "", true, false, false},
		{"tasks/get", ClassState, "", true, false, false},
		{"vendor/x", ClassUnknown, "", false, false, false},
		{"", ClassUnknown, "", false, false, false},
	} {
		if ClassOf(tc.method) != tc.class || NameField(tc.method) != tc.field || Cacheable(tc.method) != tc.cacheable ||
			Rev20251125.Has(tc.method) != tc.elder || Rev20260728.Has(tc.method) != tc.modern {
			t.Errorf("%s: class %d, field %q, cacheable %v, elder %v, modern %v", tc.method, ClassOf(tc.method),
				NameField(tc.method), Cacheable(tc.method), Rev20251125.Has(tc.method), Rev20260728.Has(tc.method))
		}
	}
	if Rev20250326.Has(MethodElicit) || Rev20250618.Has("tasks/get") {
		t.Error("a method came before its revision")
	}
	if n := len(ModernMembers(MethodToolsCall)); n != 1 {
		t.Errorf("%d members for a call", n)
	}
}
