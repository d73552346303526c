package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

const folder = "../../operator/chart"

// everything turns on what there is to turn on.
const everything = `
replicas: 2
namespaces: [a, b]
imagePullSecrets: [{name: registry}]
serviceAccount: {annotations: {x: "y"}}
podLabels: {x: "y"}
podAnnotations: {x: "y"}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: x, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: x, operator: Exists}]}]}}}
priorityClassName: system-cluster-critical
metrics: {serviceMonitor: {labels: {release: prometheus}}, rules: {labels: {release: prometheus}}}
gateway:
  enabled: true
  spec: {replicas: 3, backendSelector: {matchLabels: {x: "y"}}}
  autoscaling: {enabled: true}
backends:
  docs: {url: "https://docs.example.com/mcp", auth: {type: bearer, token: {secretKeyRef: {name: docs, key: token}}}}
  other: {serviceRef: {name: other, port: 80}}
`

// prometheus is what a cluster knows that has the Prometheus operator.
var prometheus = []string{"monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1/PrometheusRule"}

type object = map[string]any

// values reads values.
func values(t *testing.T, text string) object {
	t.Helper()
	v := object{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render is Template with values as text.
func render(t *testing.T, text string, knows ...string) ([]object, error) {
	t.Helper()
	out, err := Template(folder, "recloser", "system", values(t, text), knows...)
	if err != nil {
		return nil, err
	}
	return documents(t, folder, out), nil
}

// documents reads the objects in a text.
func documents(t *testing.T, name, text string) []object {
	t.Helper()
	var out []object
	for doc := range strings.SplitSeq(text, "\n---") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		if o != nil {
			out = append(out, o)
		}
	}
	return out
}

// kinds lists what was rendered, as KIND/NAME.
func kinds(objects []object) []string {
	var out []string
	for _, o := range objects {
		m, _ := o["metadata"].(object)
		kind, _ := o["kind"].(string)
		name, _ := m["name"].(string)
		if ns, _ := m["namespace"].(string); ns != "" && ns != "system" {
			name = ns + "/" + name
		}
		out = append(out, kind+"/"+name)
	}
	slices.Sort(out)
	return out
}

func TestRender(t *testing.T) {
	for _, test := range []struct {
		name, values string
		knows        []string
		want         string
	}{
		{"defaults", "", nil, "ClusterRole/recloser ClusterRoleBinding/recloser Deployment/recloser NetworkPolicy/recloser Role/recloser-leader-election " +
			"RoleBinding/recloser-leader-election Service/recloser-metrics ServiceAccount/recloser"},
		{"with the Prometheus operator", "", prometheus, "ClusterRole/recloser ClusterRoleBinding/recloser Deployment/recloser NetworkPolicy/recloser PrometheusRule/recloser " +
			"Role/recloser-leader-election RoleBinding/recloser-leader-election Service/recloser-metrics ServiceAccount/recloser ServiceMonitor/recloser"},
		{"everything", everything, prometheus, "Deployment/recloser HorizontalPodAutoscaler/tools MCPBackend/docs MCPBackend/other NetworkPolicy/recloser PodDisruptionBudget/recloser " +
			"PrometheusRule/recloser Role/a/recloser Role/b/recloser Role/recloser-leader-election RoleBinding/a/recloser RoleBinding/b/recloser RoleBinding/recloser-leader-election " +
			"Service/recloser-metrics ServiceAccount/recloser ServiceMonitor/recloser VirtualMCPServer/tools"},
		{"little", "{networkPolicy: {enabled: false}, serviceAccount: {create: false, name: mine}, metrics: {serviceMonitor: {enabled: false}, rules: {enabled: false}}}", prometheus,
			"ClusterRole/recloser ClusterRoleBinding/recloser Deployment/recloser Role/recloser-leader-election RoleBinding/recloser-leader-election Service/recloser-metrics"},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects, err := render(t, test.values, test.knows...)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(kinds(objects), " "); got != test.want {
				t.Errorf("rendered\n     %s\nwant %s", got, test.want)
			}
		})
	}
}

// A HorizontalPodAutoscaler and the chart do not both say how many pods there are.
func TestAutoscalingOwnsTheReplicas(t *testing.T) {
	objects, err := render(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, o := range objects {
		spec, _ := o["spec"].(object)
		switch o["kind"] {
		case "VirtualMCPServer":
			found++
			if spec["replicas"] != nil {
				t.Errorf("the gateway has replicas: %v", spec)
			}
		case "HorizontalPodAutoscaler":
			found++
			if target, _ := spec["scaleTargetRef"].(object); target["kind"] != "VirtualMCPServer" || target["name"] != "tools" {
				t.Errorf("it scales %v", target)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of gateway and autoscaler were rendered", found)
	}
}

// An operator of some namespaces has no right outside them, and everywhere the rules are
// those that its code asks for.
func TestRights(t *testing.T) {
	read, err := filepath.Glob("../../operator/config/rbac/*.yaml")
	if err != nil || len(read) != 2 {
		t.Fatalf("roles: %v, %v", read, err)
	}
	var rules []byte
	for _, v := range []string{"", everything} {
		objects, err := render(t, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			m, _ := o["metadata"].(object)
			if v != "" && (o["kind"] == "ClusterRole" || o["kind"] == "ClusterRoleBinding") {
				t.Errorf("an operator of some namespaces gets %s %s", o["kind"], m["name"])
			}
			if m["name"] == "recloser" && (o["kind"] == "ClusterRole" || o["kind"] == "Role") {
				text, _ := json.Marshal(o["rules"])
				if rules == nil {
					rules = text
				}
				if !bytes.Equal(rules, text) || len(text) < 100 {
					t.Errorf("%s has the rules %s", o["kind"], text)
				}
			}
		}
	}
}

// Values that cannot be are refused with the key.
func TestBadValues(t *testing.T) {
	for text, want := range map[string]string{
		"{image: {}}":                               "",
		"{imag: {}}":                                "imag",
		"{replicas: many}":                          "replicas",
		"{pollInterval: 5}":                         "pollInterval",
		"{logLevel: loud}":                          "logLevel",
		"{namespaces: [A_B]}":                       "namespaces",
		"{gateway: {name: a.b}}":                    "name",
		"{gateway: {spec: none}}":                   "spec",
		"{serviceAccount: {create: false}}":         "serviceAccount.name is needed",
		"{backends: {docs: https://example.com}}":   "docs",
		"{metrics: {serviceMonitor: {intrval: x}}}": "intrval",
	} {
		_, err := render(t, text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// What helm lint --strict says is nothing, and values are described where they are read.
func TestLint(t *testing.T) {
	for _, text := range []string{"", everything} {
		for _, m := range lint.RunAll(folder, values(t, text), "system").Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", m.Path, m.Err)
			}
		}
	}
}

// decode reads one JSON value.
func decode(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}
