package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/recloser-mcp/recloser/wire"
)

// visit makes an interim result of the error with which a server of 2025-11-25
// says that a page has to be visited first. The client comes back when that is done;
// one that opens no pages is told that it would have to.
func (q *request) visit(held []byte) (status int, doc []byte) {
	a, _ := wire.ScanAnswer(held)
	var data struct {
		Elicitations []json.RawMessage `json:"elicitations"`
	}
	if json.Unmarshal(a.Data.Of(held), &data) != nil || len(data.Elicitations) == 0 {
		text, _ := wire.Unquote(a.Message.Of(held))
		return http.StatusOK, wire.ErrorBody(q.id(), wire.InternalError, text, a.Data.Of(held))
	}
	if !opensPages(q.env.ClientCapabilities.Of(q.body)) {
		q.failure = strconv.Itoa(wire.MissingCapability)
		return http.StatusBadRequest, wire.ErrorBody(q.id(), wire.MissingCapability,
			"a page has to be visited first: the client did not declare that it opens any", []byte(`{"requiredCapabilities":{"elicitation":{"url":{}}}}`))
	}
	_, text := q.g.seal.issue(q.owner, visiting+q.about(), parkTime)
	result := []byte(`{"resultType":"input_required","inputRequests":{`)
	for i, e := range data.Elicitations {
		if i > 0 {
			result = append(result, ',')
		}
		result = wire.Quote(result, "visit"+strconv.Itoa(i))
		result = append(append(append(result, `:{"method":"elicitation/create","params":`...), without(e, "elicitationId")...), '}')
	}
	result = append(wire.Quote(append(result, `},"requestState":`...), text), '}')
	return http.StatusOK, wire.ResultBody(q.id(), result)
}

// opensPages reports whether capabilities of a client have elicitation by URL.
func opensPages(capabilities []byte) bool {
	for _, name := range []string{"elicitation", "url"} {
		members, _ := wire.Members(capabilities)
		capabilities = nil
		for _, m := range members {
			if m.Key == name {
				capabilities = m.Value
			}
		}
	}
	return capabilities != nil
}

// without returns an object without some of its members.
func without(object []byte, names ...string) []byte {
	members, ok := wire.Members(object)
	if !ok {
		return object
	}
	out := []byte{'{'}
next:
	for _, m := range members {
		for _, name := range names {
			if m.Key == name {
				continue next
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(wire.Quote(out, m.Key), ':')
		if m.Value == nil {
			out = append(out, "null"...)
		}
		out = append(out, m.Value...)
	}
	return append(out, '}')
}
