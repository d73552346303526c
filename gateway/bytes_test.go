package gateway_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backendtest"
)

// jsonText draws a JSON value the way odd clients write them: white space where
// it may stand, escapes that need not be, numbers beyond any machine.
func jsonText(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\t", "\r\n  "})
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 6).Draw(t, "kind")
		if depth == 0 {
			kind %= 5
		}
		w := func() string { return space.Draw(t, "space") }
		switch kind {
		case 0:
			return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "literal")
		case 1:
			return rapid.StringMatching(`-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
		case 2:
			return strconv.Quote(rapid.StringMatching(`[a-zA-Z0-9 _./-]{0,20}`).Draw(t, "text"))
		case 3:
			return `"` + rapid.SampledFrom([]string{`\u00e9`, `é`, `\/`, `\ud83d\ude00`, `\"`, `\\n`, `<>&`, ` `}).Draw(t, "escape") + `"`
		case 4:
			return rapid.SampledFrom([]string{"{}", "[]", `""`, "{ }"}).Draw(t, "empty")
		case 5:
			var items []string
			for range rapid.IntRange(1, 4).Draw(t, "items") {
				items = append(items, w()+jsonText(depth-1).Draw(t, "item")+w())
			}
			return "[" + strings.Join(items, ",") + "]"
		}
		return "{" + members(t, depth, "", w) + "}"
	})
}

// members draws members of an object. Their names are all different, and none
// of those that the gateway or a backend looks for.
func members(t *rapid.T, depth int, prefix string, w func() string) string {
	var items []string
	for i := range rapid.IntRange(0, 4).Draw(t, "members") {
		name := fmt.Sprintf("%s%s%d", prefix, rapid.SampledFrom([]string{"x-", "é", "a b", "Name", `\u0061`}).Draw(t, "name"), i)
		items = append(items, fmt.Sprintf(`%s"%s"%s:%s%s%s`, w(), name, w(), w(), jsonText(depth-1).Draw(t, "value"), w()))
	}
	return strings.Join(items, ",")
}

// join puts members together, some of which may be empty.
func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ",")
}

func TestPayloadsPassByteForByte(t *testing.T) {
	for _, front := range []string{modern, elder} {
		for _, back := range []string{modern, elder} {
			for _, sse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s sse %v", front, back, sse), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { payloads(t, front, back, sse) })
				})
			}
		}
	}
}

func payloads(t *testing.T, front, back string, sse bool) {
	var reply, seen, version string
	srv := sample(t, "one", backendtest.WithRevision(back), backendtest.WithHandler(
		func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Method != "tools/call" {
				return false
			}
			seen, version = string(m.Params), m.Revision
			doc := fmt.Sprintf(reply, m.ID)
			w.Header().Set("Content-Type", "application/json")
			if sse {
				w.Header().Set("Content-Type", "text/event-stream")
				doc = "event: message\ndata: " + doc + "\n\n"
			}
			_, _ = w.Write([]byte(doc))
			return true
		}))
	r := newRig(t, settings{}, srv)
	synctest.Wait()
	id := r.open("/mcp", elder)
	rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { // without Deadline, which no bubble has
		space := rapid.SampledFrom([]string{"", " ", "\n"})
		w := func() string { return space.Draw(rt, "space") }
		before, after := members(rt, 2, "before", w), members(rt, 2, "after", w)
		args := jsonText(3).Draw(rt, "arguments")
		result := "{" + join(members(rt, 2, "r", w), `"content":[]`, members(rt, 2, "s", w)) + "}"
		extra := members(rt, 2, "top", w)
		request := jsonText(0).Draw(rt, "id")
		if request[0] != '"' {
			request = `"7"`
		}
		if sse { // there a line end is framing
			extra, result, request = oneLine(extra), oneLine(result), oneLine(request)
		}
		reply = "{" + join(extra, `"jsonrpc":"2.0"`, `"id":%s`, `"result" : `+strings.ReplaceAll(result, "%", "%%")) + "}"
		params := func(name string) string { return join(before, `"name":"`+name+`"`, `"arguments":`+args, after) }
		sent, want := params("a_echo"), params("echo")
		headers := []string{"Mcp-Session-Id", id}
		if front == modern {
			sent, want = sent+","+meta, want+","+meta
			headers = modernHeaders("tools/call", "a_echo")
		}
		a := r.post("/mcp", `{"jsonrpc":"2.0","id":`+request+`,"method":"tools/call","params":{`+sent+`}}`, headers...)
		if version != back && !(back == elder && version == "") {
			rt.Fatalf("the backend was spoken to in %q", version)
		}
		got := seen
		if front != back { // what belongs to one revision comes and goes
			got = withoutMeta(rt, got)
			want = strings.TrimSuffix(want, ","+meta)
		}
		if diff := cmp.Diff("{"+want+"}", got); diff != "" {
			rt.Errorf("params: %s", diff)
		}
		doc := a.body
		if sse {
			doc = data(rt, doc)
		}
		if front == modern && back == elder {
			result = result[:len(result)-1] + `,"resultType":"complete"}`
		}
		expected := "{" + join(extra, `"jsonrpc":"2.0"`, `"id":`+request, `"result" : `+result) + "}"
		if diff := cmp.Diff(expected, doc); diff != "" {
			rt.Errorf("answer: %s", diff)
		}
	})
}

// withoutMeta takes _meta out of params, which stands first or last there.
func withoutMeta(t *rapid.T, params string) string {
	at := strings.Index(params, `"_meta":{`)
	if at < 0 {
		return params
	}
	depth, end := 0, at+len(`"_meta":`)
	for ; end < len(params); end++ {
		switch params[end] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			break
		}
	}
	before, after := params[:at], params[end+1:]
	switch {
	case strings.HasSuffix(before, ","):
		return before[:len(before)-1] + after
	case strings.HasPrefix(after, ","):
		return before + after[1:]
	}
	t.Fatalf("where is _meta? %s", params)
	return ""
}

func oneLine(doc string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(doc) }

// data returns the data of the only event.
func data(t *rapid.T, body string) string {
	for line := range strings.SplitSeq(body, "\n") {
		if d, ok := strings.CutPrefix(line, "data: "); ok && d != "" {
			return d
		}
	}
	t.Fatalf("no event: %q", body)
	return ""
}
