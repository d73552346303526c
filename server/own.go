package server

import (
	"encoding/json"

	"github.com/recloser-mcp/recloser/catalog"
)

// statusURI is the resource that tells MCP clients what everybody else is told.
const statusURI = "recloser://status"

var ownResources = []catalog.Own{{URI: statusURI, Definition: []byte(`{"uri":"` + statusURI + `","name":"status","title":"Status of the gateway",` +
	`"description":"Every backend with its status, the reason, since when, what was tried and what to do.","mimeType":"application/json"}`)}}

// readOwn returns the text of a resource of the gateway itself.
func (s *Server) readOwn(string) (text []byte, mimeType string) {
	text, _ = json.MarshalIndent(s.Status(), "", "  ") // of plain data
	return text, "application/json"
}
