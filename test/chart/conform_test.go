package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/yaml"
)

// schemas writes a JSON Schema for every kind of Kubernetes that the module of its API
// server describes, and for ours, so that nothing has to be fetched. Unknown fields are
// refused.
func schemas(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@v1.36.3").Output()
	if err != nil {
		t.Fatalf("go mod download: %v", err)
	}
	var module struct{ Dir string }
	if err := decode(bytes.NewReader(out), &module); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(module.Dir, "api", "openapi-spec", "v3", "*v[12]_openapi.json"))
	if len(files) < 10 {
		t.Fatalf("only %d descriptions of Kubernetes' API in %s", len(files), module.Dir)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Components object `json:"components"`
		}
		err = decode(f, &doc)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		strict(doc.Components)
		all, _ := doc.Components["schemas"].(object)
		for name, s := range all {
			schema, _ := s.(object)
			kinds, _ := schema["x-kubernetes-group-version-kind"].([]any)
			if len(kinds) != 1 {
				continue
			}
			write(t, dir, kinds[0].(object), object{"$ref": "#/components/schemas/" + name, "components": doc.Components})
		}
	}
	crds, _ := filepath.Glob(folder + "/crds/*.yaml")
	for _, file := range crds {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Group string
				Names struct{ Kind string }
				// the only one
				Versions []struct {
					Name   string
					Schema object
				}
			}
		}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		v := crd.Spec.Versions[0]
		schema, _ := v.Schema["openAPIV3Schema"].(object)
		if meta, ok := schema["properties"].(object)["metadata"].(object); ok {
			meta["x-kubernetes-preserve-unknown-fields"] = true
		}
		strict(schema)
		write(t, dir, object{"group": crd.Spec.Group, "version": v.Name, "kind": crd.Spec.Names.Kind}, schema)
	}
	return dir
}

func write(t *testing.T, dir string, gvk, schema object) {
	t.Helper()
	version := fmt.Sprint(gvk["version"])
	group := fmt.Sprint(gvk["group"])
	if group == "" {
		group = version // as kubeconform calls the group of v1
	}
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(fmt.Sprintf("%s-%s_%s.json", group, version, gvk["kind"]))
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// strict makes of OpenAPI what JSON Schema means by it: a field that is not described is
// wrong, and int-or-string is either.
func strict(v any) {
	switch v := v.(type) {
	case object:
		if v["x-kubernetes-int-or-string"] == true || v["format"] == "int-or-string" {
			delete(v, "type")
			delete(v, "format")
			v["anyOf"] = []any{object{"type": "integer"}, object{"type": "string"}}
		}
		_, properties := v["properties"].(object)
		if properties && v["additionalProperties"] == nil && v["x-kubernetes-preserve-unknown-fields"] != true {
			v["additionalProperties"] = false
		}
		for _, item := range v {
			strict(item)
		}
	case []any:
		for _, item := range v {
			strict(item)
		}
	}
}

// conform asks kubeconform about objects.
func conform(t *testing.T, v validator.Validator, what string, objects []object) int {
	t.Helper()
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range v.Validate(what, io.NopCloser(bytes.NewReader(text))) {
			if r.Status != validator.Valid {
				t.Errorf("%s: %s: %v", what, kinds([]object{o})[0], r.Err)
			}
		}
	}
	return len(objects)
}

// The chart and the manifests are what Kubernetes and our definitions say they can be.
func TestConform(t *testing.T) {
	v, err := validator.New([]string{schemas(t) + "/{{ .Group }}-{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"},
		validator.Opts{KubernetesVersion: "1.36.3", Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, text := range []string{"", everything} {
		objects, err := render(t, text) // without Prometheus' kinds, of which there is no description
		if err != nil {
			t.Fatal(err)
		}
		n += conform(t, v, "chart", objects)
	}
	for _, pattern := range []string{"crd", "rbac", "samples"} {
		files, _ := filepath.Glob("../../operator/config/" + pattern + "/*.yaml")
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n += conform(t, v, filepath.Base(file), documents(t, file, string(text)))
		}
	}
	if n < 30 {
		t.Errorf("only %d objects were looked at", n)
	}
	bad := []object{{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "a"}, "spec": object{"prots": []any{}}}}
	text, _ := json.Marshal(bad[0])
	if r := v.Validate("bad", io.NopCloser(bytes.NewReader(text))); len(r) != 1 || r[0].Status != validator.Invalid {
		t.Errorf("a field that does not exist was let through: %+v", r)
	}
}
