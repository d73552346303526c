package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/status"
)

// Action is something that can be done to one backend.
type Action string

// The actions.
const (
	Probe  Action = "probe"  // ask it now whether it answers
	Renew  Action = "renew"  // renew its credential now
	Reset  Action = "reset"  // close its breaker
	Pause  Action = "pause"  // take it out of service
	Resume Action = "resume" // put it back into service
)

// Done is the answer to an action, and to a reload.
type Done struct {
	// Message is one line that says what happened.
	Message string `json:"message"`
	// Backend is the backend afterwards; nil after a reload.
	Backend *status.Backend `json:"backend,omitempty"`
}

// Loaded is the answer of GET /api/v1/config: the configuration in effect.
type Loaded struct {
	Config   string    `json:"config"` // YAML, without secrets
	File     string    `json:"file"`
	LoadedAt time.Time `json:"loadedAt"`
}

// Called is the answer of POST /api/v1/tools/call: one of Result and Error.
type Called struct {
	// Result is the CallToolResult as the backend sent it.
	Result json.RawMessage `json:"result,omitempty"`
	// Error is the JSON-RPC error that a client would have got.
	Error json.RawMessage `json:"error,omitempty"`
	// Took is how long the call took, in milliseconds.
	Took float64 `json:"took"`
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// String is the problem on one line: file:line:column: path: message; fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}
