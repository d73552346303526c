package gateway

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

// extension serves a method that names nothing of the catalogue: tasks, and what
// extensions of others define. Where one backend is served alone it gets them all.
func (q *request) extension() {
	switch {
	case wire.ClassOf(q.env.Method) == wire.ClassClient:
		q.unknownMethod() // only servers ask these
	case q.scope != "":
		if b := q.g.table.Load().slugs[q.scope]; b != nil && !b.Paused {
			q.hand(b)
			return
		}
		q.unknownMethod()
	case q.env.Method == wire.MethodTasksList:
		q.listTasks()
	case strings.HasPrefix(q.env.Method, "tasks/"):
		q.task()
	default:
		q.unknownMethod()
	}
}

// hand gives a request to a backend as it is.
func (q *request) hand(b *Backend) {
	q.out = backend.Request{Method: q.env.Method, ID: q.id(), Params: q.env.Params.Of(q.body),
		Header: b.passthrough(q.r.Header), ClientRevision: q.revision}
	if name := q.r.Header[wire.HeaderName]; q.modern() && len(name) == 1 {
		if q.out.Header == nil {
			q.out.Header = http.Header{}
		}
		q.out.Header[wire.HeaderName] = name
	}
	q.dispatch(b)
}

// taskBook remembers which backend a task is at, for each caller. It is bounded:
// the oldest entries go first.
type taskBook struct {
	mu    sync.Mutex
	at    map[string]string // backend's name, by caller and id
	order []string
}

const maxTasks = 10_000

func (t *taskBook) note(owner, id, name string) {
	key := strconv.Itoa(len(owner)) + owner + id
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[string]string{}
	}
	if _, known := t.at[key]; !known {
		t.order = append(t.order, key)
	}
	t.at[key] = name
	if len(t.order) > maxTasks {
		delete(t.at, t.order[0])
		t.order = t.order[1:]
	}
}

func (t *taskBook) find(owner, id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[strconv.Itoa(len(owner))+owner+id]
}

// taskBackends are the backends that have tasks in the client's revision, in the
// order of the configuration.
func (q *request) taskBackends() (all []*Backend) {
	for _, b := range q.g.table.Load().list {
		if b.Paused {
			continue
		}
		if f := q.g.o.Catalog.Facts(b.Name); f.Tasks && f.Revision.Stateless() == q.modern() {
			all = append(all, b)
		}
	}
	return all
}

// task serves a request about one task: it goes to the backend that made it.
func (q *request) task() {
	id := ""
	members, _ := wire.Members(q.env.Params.Of(q.body))
	for _, m := range members {
		if m.Key == "taskId" {
			id, _ = wire.Unquote(m.Value)
		}
	}
	all := q.taskBackends()
	b := q.g.backend(q.g.tasks.find(q.owner, id))
	switch {
	case len(all) == 0:
		q.unknownMethod()
	case b != nil:
		q.hand(b)
	case len(all) == 1:
		q.hand(all[0])
	default:
		q.invalid(http.StatusOK, "there is no such task: ask the backend that made it, at /mcp/ and its slug")
	}
}

// listTasks serves tasks/list of 2025-11-25: the pages of one backend after those
// of another.
func (q *request) listTasks() {
	all := q.taskBackends()
	if len(all) == 0 {
		q.unknownMethod()
		return
	}
	at, cursor, ok := readTaskCursor(q.env.Cursor.Of(q.body))
	if !ok || at >= len(all) {
		q.invalid(http.StatusOK, catalog.ErrCursor.Error()+": begin again without one")
		return
	}
	up, ok := q.upstream(all[at])
	if !ok {
		q.fail(http.StatusNotFound, wire.InvalidRequest, "the session has ended", nil)
		return
	}
	params := without(q.env.Params.Of(q.body), "cursor")
	if cursor != "" {
		params = withMembers(params, wire.Quote([]byte(`"cursor":`), cursor))
	}
	result, err := up.Ask(q.ctx, wire.MethodTasksList, "", params)
	if err != nil {
		q.subscribed(up, "", false, nil, err)
		return
	}
	next := ""
	members, _ := wire.Members(result)
	for _, m := range members {
		if m.Key == "nextCursor" {
			next, _ = wire.Unquote(m.Value)
		}
	}
	switch {
	case next != "":
		next = newTaskCursor(at, next)
	case at+1 < len(all):
		next = newTaskCursor(at+1, "")
	}
	result = without(result, "nextCursor")
	if next != "" {
		result = withMembers(result, wire.Quote([]byte(`"nextCursor":`), next))
	}
	q.reply(result)
}

func newTaskCursor(at int, cursor string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("tasks:" + strconv.Itoa(at) + ":" + cursor))
}

func readTaskCursor(raw []byte) (at int, cursor string, ok bool) {
	if len(raw) == 0 {
		return 0, "", true
	}
	text, _ := wire.Unquote(raw)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	rest, ours := strings.CutPrefix(string(b), "tasks:")
	number, cursor, parts := strings.Cut(rest, ":")
	at, bad := strconv.Atoi(number)
	return at, cursor, err == nil && ours && parts && bad == nil && at >= 0
}
