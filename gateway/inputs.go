package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// maxRounds bounds how often a backend may ask for more during one request.
	maxRounds = 16
	// inputTime bounds the wait for a client's answers in one round.
	inputTime = 10 * time.Minute
)

// fetchInputs answers a client with a session in the name of a backend of
// 2026-07-28. Where that wants to know something first, the client's session is
// asked on the stream of the request, and the request is made again with the
// answers (basic/patterns/mrtr).
func (q *request) fetchInputs(ctx context.Context, b *Backend, resp *backend.Response) {
	var events *eventWriter
	start := func() {
		if events == nil {
			events = q.events()
		}
	}
	defer func() {
		if events != nil {
			events.close()
		}
	}()
	original := q.out.Params
	for round := 1; ; round++ {
		switch {
		case resp.Stream:
			start()
			_, err := copyTo(events, resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				q.brokeOff(events, err)
				return
			}
		case resp.Held() == nil && events == nil:
			q.answer(resp)
			return
		case resp.Held() == nil:
			q.answerAsEvent(events, resp)
			return
		}
		if resp.Held() == nil {
			return
		}
		start()
		if round > maxRounds {
			q.failInStream(events, wire.InternalError, "the backend asks for more and more")
			return
		}
		params, failed := q.ask(ctx, events, resp.Held(), original)
		if failed != nil {
			q.failInStream(events, failed.Code, failed.Message)
			return
		}
		q.out.Params, q.out.FreshID = params, true
		var err error
		if resp, err = b.Client.Do(ctx, &q.out); err != nil {
			q.brokeOff(events, err)
			return
		}
	}
}

func (q *request) failInStream(events *eventWriter, code int, msg string) {
	if events.abandoned(q.ctx) {
		q.failure = backend.KindCanceled.Reason()
		return
	}
	q.failure = strconv.Itoa(code)
	events.message(wire.ErrorBody(q.id(), code, msg, nil))
}

// answerAsEvent passes a document to a client whose answer is a stream by now.
func (q *request) answerAsEvent(events *eventWriter, resp *backend.Response) {
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		q.brokeOff(events, err)
		return
	}
	events.message(doc)
}

// mailbox receives the answer to one question.
type mailbox chan []byte

// Send implements session.Replier.
func (m mailbox) Send(_ context.Context, body []byte) error {
	select {
	case m <- body:
	default: // a notification about the question; nobody there takes it
	}
	return nil
}

// ask puts the questions of an interim result to the client and returns the
// parameters of the next attempt.
func (q *request) ask(ctx context.Context, events *eventWriter, held, original []byte) (params []byte, failed *backend.RPCError) {
	ctx, cancel := context.WithTimeout(ctx, inputTime)
	defer cancel()
	a, err := wire.ScanAnswer(held)
	in, ok := wire.ReadInputRequired(a.Result.Of(held))
	if err != nil || !ok {
		return nil, &backend.RPCError{Code: wire.InternalError, Message: "the backend's interim result cannot be read"}
	}
	boxes := make([]mailbox, len(in.Requests))
	for i, r := range in.Requests {
		boxes[i] = make(mailbox, 1)
		id, ok := q.sess.Ask(session.Question{ID: []byte(strconv.Itoa(i)), From: boxes[i]})
		if !ok {
			return nil, &backend.RPCError{Code: wire.InternalError, Message: "too many questions wait for the client"}
		}
		q.asked = append(q.asked, id)
		events.message(wire.RequestBody(id, r.Method, q.elderParams(r)))
	}
	out := []byte(`"inputResponses":{`)
	for i, r := range in.Requests {
		select {
		case body := <-boxes[i]:
			result, refused := reading(body)
			if refused != nil {
				return nil, refused
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(wire.Quote(out, r.Key), ':'), result...)
		case <-ctx.Done():
			return nil, &backend.RPCError{Code: wire.InternalError, Message: "the client did not answer what the backend asked"}
		}
	}
	out = append(out, '}')
	if in.State != nil {
		out = append(append(out, `,"requestState":`...), in.State...)
	}
	return withMembers(original, out), nil
}

// reading takes the result out of a client's response.
func reading(body []byte) (result []byte, refused *backend.RPCError) {
	a, err := wire.ScanAnswer(body)
	switch {
	case err != nil:
		return nil, &backend.RPCError{Code: wire.InternalError, Message: "the client's answer cannot be read"}
	case a.Error.Present():
		text, _ := wire.Unquote(a.Message.Of(body))
		return nil, &backend.RPCError{Code: a.ErrorCode, Message: "the client refused what the backend asked: " + shorten(text)}
	}
	return a.Result.Of(body), nil
}

// withMembers puts members, given without brackets, in front of those of an
// object.
func withMembers(object, members []byte) []byte {
	rest, is := wire.Members(object)
	out := append([]byte{'{'}, members...)
	if !is || len(rest) == 0 {
		return append(out, '}')
	}
	i := 0
	for object[i] != '{' {
		i++
	}
	return append(append(out, ','), object[i+1:]...)
}

// elderParams gives a question the member that elder revisions want of it: 2026-07-28
// has no id for an elicitation by URL, 2025-11-25 requires one.
func (q *request) elderParams(r wire.InputRequest) []byte {
	if r.Method != wire.MethodElicit {
		return r.Params
	}
	members, _ := wire.Members(r.Params)
	byURL, named := false, false
	for _, m := range members {
		byURL = byURL || m.Key == "mode" && string(m.Value) == `"url"`
		named = named || m.Key == "elicitationId"
	}
	if !byURL || named {
		return r.Params
	}
	return withMembers(r.Params, wire.Quote([]byte(`"elicitationId":`), rand.Text()))
}

var errState = errors.New("requestState is not one of this request, or too old: make the request again without it")

// badState answers a request whose state cannot be trusted.
func (q *request) badState() { q.invalid(http.StatusOK, errState.Error()) }
