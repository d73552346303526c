package backendtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Question is a request of the server that the client of a running tool has to
// answer.
type Question struct {
	Method string          // elicitation/create, sampling/createMessage or roots/list
	Params json.RawMessage // default {}
}

// Ask asks the client that called the running tool, all questions at once, and
// returns the results in the order of the questions. An error that the client
// answers with is an [*RPCError].
//
// Up to 2025-11-25 the questions are requests on the stream of the call, or on
// the standing stream when ctx is one of [Aside], and Ask waits for the answers.
// On 2026-07-28 they are an input_required result (basic/patterns/mrtr): Ask
// then returns an error that the tool must return in its turn, and the tool runs
// again from its start when the client has answered. Each run counts as an
// execution, and asks the same questions in the same order: those that were
// answered in an earlier round return at once.
//
// What the SDK decodes is encoded again: members that it does not know are lost.
func Ask(ctx context.Context, questions ...Question) ([]json.RawMessage, error) {
	c, ok := ctx.Value(conversationKey{}).(*conversation)
	if !ok {
		return nil, errors.New("backendtest: questions are asked by a running tool")
	}
	questions = slices.Clone(questions)
	for i, q := range questions {
		if capability(q) == "" {
			return nil, fmt.Errorf("backendtest: no client answers %q", q.Method)
		}
		if q.Params == nil {
			questions[i].Params = json.RawMessage("{}")
		}
	}
	if c.rounds != nil {
		return c.rounds.ask(questions)
	}
	results, errs := make([]json.RawMessage, len(questions)), make([]error, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() { results[i], errs[i] = c.ask(ctx, q) })
	}
	wg.Wait()
	return results, errors.Join(errs...)
}

// Elicited is the user's answer to [Elicit] and [ElicitURL].
type Elicited struct {
	Action  string          `json:"action"` // accept, decline or cancel
	Content json.RawMessage `json:"content,omitempty"`
}

// Elicit asks the user with a form; the schema is that of an object. See [Ask].
func Elicit(ctx context.Context, message string, schema json.RawMessage) (Elicited, error) {
	return elicit(ctx, map[string]any{"mode": "form", "message": message, "requestedSchema": schema})
}

// ElicitURL asks the user to open a page (2025-11-25 and later). See [Ask].
func ElicitURL(ctx context.Context, message, url, id string) (Elicited, error) {
	params := map[string]any{"mode": "url", "message": message, "url": url}
	if c, ok := ctx.Value(conversationKey{}).(*conversation); ok && c.rounds == nil {
		params["elicitationId"] = id // gone with 2026-07-28
	}
	return elicit(ctx, params)
}

func elicit(ctx context.Context, params any) (e Elicited, err error) {
	results, err := Ask(ctx, Question{"elicitation/create", mustJSON(params)})
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(results[0], &e)
}

// Sample asks the client's model and returns the text of its answer. See [Ask].
func Sample(ctx context.Context, prompt string) (string, error) {
	results, err := Ask(ctx, Question{"sampling/createMessage", mustJSON(map[string]any{
		"maxTokens": 100,
		"messages":  []any{map[string]any{"role": "user", "content": map[string]any{"type": "text", "text": prompt}}},
	})})
	if err != nil {
		return "", err
	}
	var r struct{ Content json.RawMessage }
	if err := json.Unmarshal(results[0], &r); err != nil {
		return "", err
	}
	// One block or several: the SDKs write what the revision allows.
	var blocks []struct{ Text string }
	raw := bytes.TrimSpace(r.Content)
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	if err := json.Unmarshal(raw, &blocks); err != nil || len(blocks) == 0 {
		return "", fmt.Errorf("backendtest: no text in %s", results[0])
	}
	return blocks[0].Text, nil
}

// Roots asks for the client's roots and returns their URIs. See [Ask].
func Roots(ctx context.Context) ([]string, error) {
	results, err := Ask(ctx, Question{Method: "roots/list"})
	if err != nil {
		return nil, err
	}
	var r struct{ Roots []struct{ URI string } }
	if err := json.Unmarshal(results[0], &r); err != nil {
		return nil, err
	}
	var uris []string
	for _, root := range r.Roots {
		uris = append(uris, root.URI)
	}
	return uris, nil
}

// Log sends a notifications/message to the client of the running tool, where
// that client asked for messages of this level: with logging/setLevel, or in the
// request itself on 2026-07-28. The SDKs differ in what they send to a session
// that has set no level: the official one nothing, mcp-go errors and worse.
func Log(ctx context.Context, level, logger string, data any) error {
	if c, ok := ctx.Value(conversationKey{}).(*conversation); ok {
		return c.log(ctx, level, logger, data)
	}
	return errors.New("backendtest: messages are logged by a running tool")
}

// Aside returns a context of a running tool whose questions and messages do not
// belong to the call: they go over the standing stream of the session (up to
// 2025-11-25, official SDK).
func Aside(ctx context.Context) context.Context { return context.WithValue(ctx, asideKey{}, true) }

type (
	conversationKey struct{}
	asideKey        struct{}
)

// conversation is what a running tool says to its client.
type conversation struct {
	rounds *rounds // of 2026-07-28, else nil
	ask    func(ctx context.Context, q Question) (json.RawMessage, error)
	log    func(ctx context.Context, level, logger string, data any) error
}

// capability is the one that a client must have declared.
func capability(q Question) string {
	switch q.Method {
	case "elicitation/create":
		return "elicitation"
	case "sampling/createMessage":
		return "sampling"
	case "roots/list":
		return "roots"
	}
	return ""
}

// rounds is one run of a tool of 2026-07-28 among those that its questions make
// necessary. What was answered before comes back in the request's state.
type rounds struct {
	answers  map[string]json.RawMessage
	declared map[string]json.RawMessage
	asked    int
}

func roundsOf(m Message) *rounds {
	var p struct {
		State     []byte                     `json:"requestState"`
		Responses map[string]json.RawMessage `json:"inputResponses"`
		Meta      struct {
			Capabilities map[string]json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	}
	r := &rounds{answers: map[string]json.RawMessage{}}
	_ = json.Unmarshal(m.Params, &p)        // what is no state of ours
	_ = json.Unmarshal(p.State, &r.answers) // has no answers: the tool asks again
	for key, result := range p.Responses {
		r.answers[key] = result
	}
	r.declared = p.Meta.Capabilities
	return r
}

func (r *rounds) ask(questions []Question) ([]json.RawMessage, error) {
	more := &inputRequired{requests: map[string]Question{}}
	results := make([]json.RawMessage, len(questions))
	for i, q := range questions {
		if need := capability(q); r.declared[need] == nil {
			return nil, &RPCError{codeMissingCapability, "Missing required client capability",
				mustJSON(map[string]any{"requiredCapabilities": map[string]any{need: struct{}{}}})}
		}
		r.asked++
		key := "q" + strconv.Itoa(r.asked)
		if results[i] = r.answers[key]; results[i] == nil {
			more.requests[key] = q
		}
	}
	if len(more.requests) > 0 {
		more.state = base64.StdEncoding.EncodeToString(mustJSON(r.answers))
		return nil, more
	}
	return results, nil
}

// codeMissingCapability is MissingRequiredClientCapability of 2026-07-28.
const codeMissingCapability = -32021

// inputRequired ends a run of a tool that has to wait for answers.
type inputRequired struct {
	requests map[string]Question
	state    string
}

// Error implements error.
func (e *inputRequired) Error() string {
	return "the tool runs again when its client has answered: return this error from it"
}
