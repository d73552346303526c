package wire

import "bytes"

// InputRequired is an interim result of 2026-07-28: the server needs something
// of the client before it can answer (basic/patterns/mrtr, "InputRequiredResult").
type InputRequired struct {
	Requests []InputRequest // in the order in which they stand
	State    []byte         // requestState, raw JSON; nil when absent
}

// InputRequest is one thing that a server asks of a client.
type InputRequest struct {
	Key    string // names the answer in inputResponses
	Method string // roots/list, sampling/createMessage or elicitation/create
	Params []byte // raw JSON; nil when absent
}

var inputRequired = []byte(ResultInputRequired)

// ReadInputRequired reads a result. ok is false when it is complete, or nothing
// that a client could answer. It shares memory with the result.
func ReadInputRequired(result []byte) (in InputRequired, ok bool) {
	if !bytes.Contains(result, inputRequired) {
		return in, false // the usual case, without a look at the members
	}
	var requests []byte
	o := object{cursor: cursorOf(result)}
	for o.next() {
		switch string(o.name) {
		case "resultType":
			ok = o.text() == ResultInputRequired
		case "inputRequests":
			requests = o.raw()
		case "requestState":
			in.State = o.raw()
		}
	}
	if !ok || o.err() != nil {
		return InputRequired{}, false
	}
	if len(requests) == 0 || requests[0] != '{' {
		return in, in.State != nil
	}
	m := object{cursor: cursorOf(requests)}
	for m.next() {
		r := InputRequest{Key: string(m.name)}
		one := object{cursor: cursorOf(m.raw())}
		for one.next() {
			switch string(one.name) {
			case "method":
				r.Method = one.text()
			case "params":
				r.Params = one.raw()
			}
		}
		if one.err() != nil || r.Method == "" {
			return InputRequired{}, false
		}
		in.Requests = append(in.Requests, r)
	}
	return in, m.err() == nil
}

// Members returns the members of a raw JSON object in their order, nil when it is
// none. Values share memory with it.
func Members(raw []byte) (all []KV, ok bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	o := object{cursor: cursorOf(raw)}
	for o.next() {
		all = append(all, KV{string(o.name), o.raw()})
	}
	return all, o.err() == nil
}
