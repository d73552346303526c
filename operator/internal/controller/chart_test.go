package controller_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The API server takes everything that the chart renders, with little and with all of its
// values.
func TestChartAppliesAsItIs(t *testing.T) {
	c := suite.Start(t)
	ns := c.Namespace(t)
	for name, values := range map[string]string{
		"defaults": "",
		"everything": `
replicas: 2
namespaces: [` + ns + `]
priorityClassName: system-cluster-critical
gateway: {enabled: true, spec: {backendSelector: {}}, autoscaling: {enabled: true}}
backends: {docs: {url: "https://docs.example.com/mcp"}}
`} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "run", "./template", "recloser", ns, "monitoring.coreos.com/v1/ServiceMonitor")
			cmd.Dir = "../../../test/chart"
			cmd.Stdin = strings.NewReader(values)
			var complaint strings.Builder
			cmd.Stderr = &complaint
			documents, err := cmd.Output()
			if err != nil {
				t.Fatalf("render the chart: %v\n%s", err, complaint.String())
			}
			out, err := c.TryKubectl(t.Context(), string(documents), "apply", "--dry-run=server", "--validate=strict", "-f", "-")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out, "(server dry run)"); n < 9 {
				t.Errorf("only %d objects were applied:\n%s", n, out)
			}
		})
	}
}

// The alerts of the chart are about metrics that there are.
func TestAlertsAreAboutMetricsThatThereAre(t *testing.T) {
	alerts, err := os.ReadFile("../../chart/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var known string
	for _, file := range []string{"metrics.go", "../../../telemetry/names.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		known += string(text)
	}
	names := regexp.MustCompile(`recloser_[a-z_]+`).FindAllString(string(alerts), -1)
	if len(names) < 5 {
		t.Errorf("the alerts are about %v", names)
	}
	for _, n := range names {
		if !strings.Contains(known, `"`+n+`"`) {
			t.Errorf("there is no metric %s", n)
		}
	}
}
