package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backendtest"
)

// check is rapid.Check in a bubble, which has no Deadline.
func check(t *testing.T, property func(*rapid.T)) { rapid.Check(struct{ testing.TB }{t}, property) }

// line draws an object with the members given, among others, on one line.
func line(rt *rapid.T, fixed ...string) string {
	space := rapid.SampledFrom([]string{"", " ", "\t"})
	w := func() string { return space.Draw(rt, "space") }
	parts := []string{members(rt, 2, "m", w)}
	for i, f := range fixed {
		parts = append(parts, w()+f+w(), members(rt, 2, fmt.Sprint("n", i), w))
	}
	return oneLine("{" + join(parts...) + "}")
}

// value draws any JSON value on one line. The big integer is there often.
func value(rt *rapid.T) string {
	return oneLine(rapid.OneOf(jsonText(3), rapid.Just("12345678901234567890"), rapid.Just(`"\u0000\ud83d\ude00\/"`)).Draw(rt, "value"))
}

// TestWhatComesBeforeAndInsteadOfAResult draws notifications and an error.
func TestWhatComesBeforeAndInsteadOfAResult(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		var script func(m backendtest.Message, token string) []string
		_, r := c.serve(t, settings{}, backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Method != "tools/call" {
				return false
			}
			var p struct {
				Meta struct {
					Token json.RawMessage `json:"progressToken"`
				} `json:"_meta"`
			}
			_ = json.Unmarshal(m.Params, &p)
			w.Header().Set("Content-Type", "text/event-stream")
			for _, l := range script(m, string(p.Meta.Token)) {
				_, _ = io.WriteString(w, "event: message\ndata: "+l+"\n\n")
			}
			return true
		}))
		h := c.hand(r, `{}`)
		if c.front == elder {
			if a := r.do(h.request(`0`, "logging/setLevel", "", `"level":"debug"`)); a.rpc(t).Error != nil {
				t.Fatal(a.body)
			}
		}
		check(t, func(rt *rapid.T) {
			const token = `"mine"`
			log := line(rt, `"level":"error"`, `"data":`+value(rt))
			progress := line(rt, `"progressToken":@`, `"progress":`+fmt.Sprint(rapid.Float64().Draw(rt, "progress")))
			data, text := value(rt), value(rt)
			if text[0] != '"' {
				text = `"plain"`
			}
			failure := line(rt, `"code":-31234`, `"message":`+text, `"data":`+data)
			script = func(m backendtest.Message, token string) []string {
				return []string{
					`{"method":"notifications/message","params":` + log + `,"jsonrpc":"2.0"}`,
					`{"jsonrpc":"2.0","params":` + strings.Replace(progress, "@", token, 1) + `,"method":"notifications/progress"}`,
					`{"error":` + failure + `,"id":` + string(m.ID) + `,"jsonrpc":"2.0"}`,
				}
			}
			all := h.exchange(h.call(`"id"`, "echo", "", `"progressToken":`+token, `"io.modelcontextprotocol/logLevel":"debug"`))
			if len(all) != 3 {
				rt.Fatalf("%d messages, want 3", len(all))
			}
			var whole struct{ Error json.RawMessage }
			if err := json.Unmarshal([]byte(all[2].raw), &whole); err != nil {
				rt.Fatal(err)
			}
			want := []string{log, strings.Replace(progress, "@", token, 1), failure, `"id"`}
			got := []string{string(all[0].Params), string(all[1].Params), string(whole.Error), string(all[2].ID)}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Error(diff)
			}
		})
	})
}

// TestDefinitionsPassByteForByte draws what a backend lists.
func TestDefinitionsPassByteForByte(t *testing.T) {
	kinds := map[string]string{"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"}
	eachCell(t, func(t *testing.T, c cell) {
		var listed atomic.Pointer[map[string][]string]
		listed.Store(&map[string][]string{})
		srv := sample(t, "one", backendtest.WithRevision(c.back), byHand(func(m backendtest.Message) string {
			if kinds[m.Method] == "" {
				return ""
			}
			return fmt.Sprintf(`{"resultType":"complete","ttlMs":0,"cacheScope":"private",%q:[%s]}`, kinds[m.Method], strings.Join((*listed.Load())[m.Method], " , "))
		}))
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		h := c.hand(r, `{}`)
		round := 0
		check(t, func(rt *rapid.T) {
			round++
			now, want := map[string][]string{}, map[string][]string{}
			for i := range rapid.IntRange(1, 3).Draw(rt, "entries") {
				id := fmt.Sprintf("n%d-%d", round, i)
				for method, fixed := range map[string][]string{
					"tools/list":               {`"name":"@"`, `"inputSchema":` + line(rt, `"type":"object"`), `"annotations":` + line(rt), `"_meta":` + line(rt)},
					"prompts/list":             {`"description":` + text(rt), `"name":"@"`, `"_meta":` + line(rt)},
					"resources/list":           {`"uri":"mem://` + id + `"`, `"name":"@"`, `"size":12345678901234567890`, `"description":` + text(rt)},
					"resources/templates/list": {`"name":"@"`, `"uriTemplate":"tpl://` + id + `/{x}"`, `"_meta":` + line(rt)},
				} {
					def, public := line(rt, fixed...), id
					if method == "tools/list" || method == "prompts/list" {
						public = c.public(id)
					}
					now[method] = append(now[method], strings.Replace(def, "@", id, 1))
					want[method] = append(want[method], strings.Replace(def, "@", public, 1))
				}
			}
			listed.Store(&now)
			srv.AddTool(backendtest.Tool{Name: fmt.Sprint("bell", round)}) // which has it listed again
			time.Sleep(5 * time.Second)
			synctest.Wait()
			for method, kind := range kinds {
				all := h.exchange(h.request(`1`, method, "", ""))
				var result map[string]json.RawMessage
				var entries []json.RawMessage
				if err := errors.Join(json.Unmarshal(all[0].Result, &result), json.Unmarshal(result[kind], &entries)); err != nil {
					rt.Fatalf("%v: %s", err, all[0].raw)
				}
				var got []string
				for _, e := range entries {
					got = append(got, string(e))
				}
				if diff := cmp.Diff(want[method], got); diff != "" {
					rt.Errorf("%s: %s", method, diff)
				}
			}
		})
	})
}

// text draws a string.
func text(rt *rapid.T) string {
	return rapid.SampledFrom([]string{`""`, `"plain"`, `"caf\u00e9 é \/ \\ \" \ud83d\ude00"`, `"<&>\u2028\u0000"`}).Draw(rt, "text")
}
