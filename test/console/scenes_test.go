//go:build console

package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/recloser-mcp/recloser/status"
)

// control is how a script changes the fake.
func (f *fake) control(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	arg := r.URL.Query().Get("arg")
	n, _ := strconv.Atoi(arg)
	switch r.PathValue("what") {
	case "break":
		f.ruin(f.find(arg))
	case "mend":
		f.mend(f.find(arg))
	case "remove":
		for i, b := range f.backends {
			if b.Name == arg {
				f.backends = append(f.backends[:i:i], f.backends[i+1:]...)
				break
			}
		}
		f.wake()
	case "token":
		f.token = arg
	case "cut":
		f.cut = true
		f.wake()
	case "deaf": // what is open stays open, and silent
		f.cut = true
	case "join":
		f.cut = false
	case "restart":
		f.events, f.nextID = nil, 1
		f.tell(status.Event{Kind: status.EventPhase, Level: status.LevelInfo, Message: "The gateway has started."})
	case "forbid":
		f.forbid = arg
	case "refuse":
		f.refuse = true
	case "calls": // of one backend move, without an event
		f.find(arg).Counters.Calls += 1000
		f.wake()
	case "storm":
		for i := range n {
			b := f.backends[(i*37)%len(f.backends)]
			b.Counters.Calls++
			f.tell(status.Event{Kind: status.EventRenewal, Level: status.LevelInfo, Backend: b.Name, Message: b.Name + " has a new credential."})
		}
	case "seen":
		answer(w, http.StatusOK, map[string]any{"streams": f.streams, "after": f.after, "actions": f.actions, "tools": f.tools, "statuses": f.statuses, "backends": f.backends})
		return
	default:
		http.Error(w, "no such control", http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, map[string]any{})
}

func healthy(name, credential string, tools int, now time.Time) status.Facts {
	return status.Facts{
		Now: now, LastAnswer: now.Add(-time.Second),
		Backend: status.Backend{
			Name: name, Revision: "2025-11-25", Reachable: status.Yes, Authenticated: status.Yes, Session: status.Yes,
			Catalogue:  status.Catalogue{LastRefresh: now.Add(-4 * time.Minute)},
			Credential: status.Credential{Type: credential, Generation: 1, Issued: now.Add(-2 * time.Hour)},
			Counters:   status.Counters{Calls: 1200 + uint64(len(name))*731},
			Tools:      tools, Prompts: 2, InFlight: tools % 3,
			Latency: status.Latency{P50: status.Duration(12 * time.Millisecond), P95: status.Duration(84 * time.Millisecond)},
			Breaker: status.Breaker{State: status.BreakerClosed},
		},
	}
}

func derived(f status.Facts, since time.Duration) *backend {
	b := &backend{Backend: status.Derive(f), NextProbe: f.Now.Add(25 * time.Second)}
	b.Since = f.Now.Add(-since)
	return b
}

func refused(name string, tools int, now time.Time) *backend {
	f := healthy(name, "bearer", tools, now)
	f.Authenticated = status.No
	f.LastFailure = &status.Failure{At: now.Add(-time.Minute), Reason: status.ReasonAuthRefused, Status: 401}
	f.LastAnswer = now.Add(-12 * time.Minute)
	f.Trouble = now.Add(-11 * time.Minute)
	f.Breaker = status.Breaker{State: status.BreakerOpen, Exhausted: 5, OpenedAt: now.Add(-11 * time.Minute), NextProbe: now.Add(18 * time.Second)}
	f.Challenge = &status.Challenge{Scheme: "Bearer", Error: "invalid_token", Realm: "tickets"}
	f.Counters.Refused, f.Counters.Exhausted = 61, 5
	b := derived(f, 11*time.Minute+20*time.Second)
	b.Affected = 37
	b.ClientsSee = fmt.Sprintf("Its %d tools stay listed. Calls to them are sent once and fail with auth_refused and a hint.", tools)
	return b
}

func (f *fake) ruin(b *backend) {
	*b = *refused(b.Name, b.Tools, time.Now())
	f.tell(status.Event{Kind: status.EventStatus, Level: status.LevelError, Backend: b.Name, Status: b.Status, Reason: b.Reason, Message: b.Name + " is unavailable: auth_refused.", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"})
}

func (f *fake) mend(b *backend) {
	*b = *derived(healthy(b.Name, b.Credential.Type, b.Tools, time.Now()), time.Second)
	f.tell(status.Event{Kind: status.EventStatus, Level: status.LevelInfo, Backend: b.Name, Status: b.Status, Reason: b.Reason, Message: b.Name + " is ready again."})
}

// some puts in a backend of every kind.
func (f *fake) some() *fake {
	now := time.Now()
	wiki := healthy("wiki", "client_credentials", 14, now)
	wiki.Credential.Renewable, wiki.Credential.Generation = true, 12
	wiki.Credential.Expires = now.Add(4*time.Minute + 12*time.Second)
	wiki.Credential.LastRenewal = &status.Renewal{At: now.Add(-6 * time.Minute), Outcome: status.RenewalNew}
	wiki.Counters.SavedByRenewal = 7
	weather := healthy("weather", "client_credentials", 3, now)
	weather.Credential.Renewable, weather.Credential.Generation = true, 3
	weather.Credential.Expires = now.Add(95 * time.Second)
	weather.Credential.LastRenewal = &status.Renewal{At: now.Add(-70 * time.Second), Outcome: status.RenewalPassing}
	files := healthy("files", "unauthenticated", 11, now)
	files.Process = &status.Process{Command: "npx -y @modelcontextprotocol/server-filesystem /data", PID: 4242, Running: 1, Restarts: 2,
		LastExit: &status.Exit{At: now.Add(-3 * time.Hour), PID: 4001, Status: "signal: killed", Lived: status.Duration(2 * time.Hour), Stderr: []string{"Secure MCP Filesystem Server running on stdio"}}}
	off := healthy("staging", "bearer", 0, now)
	off.Disabled, off.Latency, off.Counters = true, status.Latency{}, status.Counters{}
	asked := healthy("slow-start", "bearer", 0, now)
	asked.LastAnswer, asked.Latency, asked.Counters = time.Time{}, status.Latency{}, status.Counters{}

	degraded := derived(weather, 70*time.Second)
	degraded.ClientsSee = "Everything works as long as the credential in use lasts."
	f.backends = []*backend{derived(wiki, 26*time.Hour), derived(files, 3*time.Hour), derived(healthy("docs", "header", 20, now), 26*time.Hour),
		refused("tickets", 12, now), degraded, derived(asked, 4*time.Second), derived(off, 26*time.Hour)}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(status.Event{Kind: status.EventReload, Level: status.LevelInfo, Message: "The configuration was read: 7 backends."})
	f.tell(status.Event{Kind: status.EventRenewal, Level: status.LevelInfo, Backend: "wiki", Message: "wiki refused a call; its credential was renewed in 12 ms and the call sent again: 200.", TraceID: "0af7651916cd43dd8448eb211c80319c"})
	f.tell(status.Event{Kind: status.EventRefusal, Level: status.LevelWarning, Backend: "tickets", Message: "tickets refused a call with 401 invalid_token.", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Count: 14})
	f.tell(status.Event{Kind: status.EventBreaker, Level: status.LevelError, Backend: "tickets", Message: "The breaker of tickets has opened after 5 exhausted sequences of sends."})
	f.tell(status.Event{Kind: status.EventStatus, Level: status.LevelError, Backend: "tickets", Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused, Message: "tickets is unavailable: auth_refused."})
	f.tell(status.Event{Kind: status.EventRenewal, Level: status.LevelWarning, Backend: "weather", Message: "The token server of weather answers 503. The credential in use is good for another 95 s."})
	return f
}

// many puts in n backends, some of them in trouble.
func (f *fake) many(n int) *fake {
	now := time.Now()
	for i := range n {
		name := fmt.Sprintf("backend-%04d", i)
		if i%100 == 50 {
			f.backends = append(f.backends, refused(name, 5, now))
			continue
		}
		f.backends = append(f.backends, derived(healthy(name, "client_credentials", 5, now), time.Hour))
	}
	return f
}

func catalog(name string) []status.Entry {
	entry := func(kind, tool, definition string) status.Entry {
		return status.Entry{Kind: kind, Name: tool, Public: name + "_" + tool, Definition: json.RawMessage(definition)}
	}
	return []status.Entry{
		entry("tool", "search", `{"name":"search","description":"Find tickets whose text has all the words, the latest first.","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","required":["query"],"properties":{
			"query":{"type":"string","description":"words that the ticket must have"},
			"limit":{"type":"integer","default":20,"minimum":1,"maximum":100},
			"open":{"type":"boolean","description":"only those that are open"},
			"order":{"enum":["newest","oldest"],"default":"newest"}}}}`),
		entry("tool", "create", `{"name":"create","description":"Write a new ticket.","inputSchema":{"type":"object","required":["title","labels"],"properties":{
			"title":{"type":"string"},"labels":{"type":"array","items":{"type":"string"}},"reporter":{"type":"object"}}}}`),
		entry("tool", "close", `{"name":"close","description":"Close a ticket for good.","annotations":{"destructiveHint":true},"inputSchema":{"type":"object","required":["number"],"properties":{"number":{"type":"number"}}}}`),
		entry("tool", "ping", `{"name":"ping","inputSchema":{"type":"object"}}`),
		entry("prompt", "triage", `{"name":"triage","description":"Sort the tickets of a day."}`),
		{Kind: "resource", Name: "tickets://today", Public: "tickets://today", Definition: json.RawMessage(`{"uri":"tickets://today","name":"today","description":"The tickets of today"}`)},
	}
}

func requests() []status.Request {
	now := time.Now()
	ms := func(n int) status.Duration { return status.Duration(time.Duration(n) * time.Millisecond) }
	return []status.Request{
		{At: now.Add(-9 * time.Second), Method: "tools/call", Name: "search", Took: ms(1204), Outcome: status.OutcomeFailed, Reason: status.ReasonAuthRefused, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Sends: []status.Send{
			{At: now, Status: 401, Generation: 3, Took: ms(11), Cause: "first"}, {At: now, Status: 401, Generation: 3, Took: ms(9), Cause: "after 100 ms, nothing newer"},
			{At: now, Status: 401, Generation: 3, Took: ms(10), Cause: "after 200 ms, nothing newer"}}},
		{At: now.Add(-80 * time.Second), Method: "tools/call", Name: "create", Took: ms(52), Outcome: status.OutcomeRecovered, TraceID: "0af7651916cd43dd8448eb211c80319c", Sends: []status.Send{
			{At: now, Status: 401, Generation: 2, Took: ms(11)}, {At: now, Status: 200, Generation: 3, Took: ms(40), Cause: "renewed"}}},
		{At: now.Add(-3 * time.Minute), Method: "tools/list", Took: ms(18), Outcome: status.OutcomeOK, Sends: []status.Send{{At: now, Status: 200, Generation: 2, Took: ms(18)}}},
		{At: now.Add(-5 * time.Minute), Method: "tools/call", Name: "search", Took: ms(10012), Outcome: status.OutcomeFailed, Reason: status.ReasonTimeout, Sends: []status.Send{{At: now, Status: 0, Generation: 2, Took: ms(10012)}}},
	}
}
