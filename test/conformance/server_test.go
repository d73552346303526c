//go:build npm

package conformance

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/recloser-mcp/recloser/test/peers"
)

// TestServerSuite has the suite judge the SDK's conformance server: by itself,
// at the gateway's endpoint for one backend, at the one for all, and there with
// a backend that speaks the other revision.
func TestServerSuite(t *testing.T) {
	list := readExpected(t)
	gateway, server := peers.Build(t, product), peers.Build(t, theServer)
	for _, revision := range revisions {
		t.Run(revision, func(t *testing.T) {
			// Some scenarios change the server: each run gets a new one.
			alone, ok, out := serverSuite(t, run{"server", revision, "alone"}, startServer(t, server, revision))
			if !ok {
				t.Fatalf("the backend alone does not conform, so there is nothing to compare with:\n%s", out)
			}
			names, all := []string{"alone"}, []results{alone}
			for _, way := range ways["server"] {
				t.Run(way, func(t *testing.T) {
					speaks, path := revision, ""
					switch way {
					case "one":
						path = "/everything"
					case "bridged":
						speaks = other(revision)
					}
					g := peers.StartGateway(t, gateway, fmt.Sprintf(`{
						"catalog": {"conflicts": "auto"},
						"mcpServers": {"everything": {"url": %q}}`, startServer(t, server, speaks)), 1)
					r := run{"server", revision, way}
					got, _, _ := serverSuite(t, r, g.URL+path)
					names, all = append(names, way), append(all, got)
					compare(t, r, alone, got, list)
				})
			}
			table(t, names, all)
		})
	}
}

// serverSuite runs the scenarios that a revision requires of a server. ok says
// that the suite was content.
func serverSuite(t *testing.T, r run, url string) (got results, ok bool, output string) {
	t.Helper()
	dir := resultsDir(t, r)
	output, ok = conformance(t, "server", "--url", url, "--requirements", r.revision, "--timeout", scenarioLimit, "-o", dir)
	got = newResults()
	got.read(t, dir, "server")
	return got, ok, output
}

// startServer starts the SDK's conformance server, which speaks one era only.
func startServer(t *testing.T, exe, revision string) string {
	t.Helper()
	addr := peers.FreeAddr(t)
	peers.Run(t, exec.Command(exe, "-http="+addr, fmt.Sprintf("-stateless=%t", revision == "2026-07-28")))
	peers.WaitForListener(t, addr)
	return "http://" + addr + "/"
}
