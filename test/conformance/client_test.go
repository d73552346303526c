//go:build npm

package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/test/peers"
)

const theClient = "github.com/recloser-mcp/recloser/test/conformance/client"

// TestClientSuite has the suite judge a client: connected directly, through the
// gateway, and through the gateway with a client that speaks the other revision.
func TestClientSuite(t *testing.T) {
	list := readExpected(t)
	client := peers.Build(t, theClient)
	for _, revision := range revisions {
		t.Run(revision, func(t *testing.T) {
			scenarios := clientScenarios(t, revision)
			direct, failed := clientSuite(t, run{"client", revision, "direct"}, client, scenarios)
			if len(failed) > 0 {
				t.Fatalf("the client alone does not conform, so there is nothing to compare with:\n%s", strings.Join(failed, "\n"))
			}
			names, all := []string{"direct"}, []results{direct}
			for _, way := range ways["client"] {
				t.Run(way, func(t *testing.T) {
					command := client + " -gateway"
					if way == "bridged" {
						command += " -revision " + other(revision)
					}
					r := run{"client", revision, way}
					got, _ := clientSuite(t, r, command, scenarios)
					names, all = append(names, way), append(all, got)
					compare(t, r, direct, got, list)
				})
			}
			table(t, names, all)
		})
	}
}

// clientSuite runs scenarios one after the other, since some of them look at
// the time between requests, and returns what those that failed printed. How
// the client ended is a check like those of the suite.
func clientSuite(t *testing.T, r run, command string, scenarios []string) (got results, failed []string) {
	t.Helper()
	dir := resultsDir(t, r)
	got = newResults()
	for _, s := range scenarios {
		out, ok := conformance(t, "client", "--command", command, "--scenario", s, "--spec-version", r.revision, "-o", dir)
		ended := pass
		if !ok {
			ended, failed = fail, append(failed, out)
		}
		got.add(check{s, "exit-status"}, ended, "the client failed, or one of the suite's checks")
	}
	got.read(t, dir, "client")
	return got, failed
}

// clientScenarios reads from the suite's requirements which scenarios there are
// for clients. Those about a user who signs in are left out: the gateway has
// credentials of its own and takes no user to an authorization server.
func clientScenarios(t *testing.T, revision string) []string {
	t.Helper()
	name := filepath.Join(peers.NPM(".."), "@modelcontextprotocol", "conformance", "requirements", revision+".yaml")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Client    []string `yaml:"client"`
		NotScored []struct {
			Scenario string `yaml:"scenario"`
			Leg      string `yaml:"leg"`
		} `yaml:"not_scored"`
	}
	if err := yaml.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	all := set.Client
	for _, s := range set.NotScored {
		if s.Leg == "client" {
			all = append(all, s.Scenario)
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, "auth/") })
	if len(all) == 0 {
		t.Fatalf("%s requires nothing of clients", name)
	}
	return all
}
