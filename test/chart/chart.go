// Package chart renders the operator's Helm chart as helm template does, and its tests hold
// the chart and the operator's manifests against helm's rules and the schemas of
// Kubernetes. It is a module of its own: helm and kubeconform bring much along that nothing
// that is shipped needs.
package chart

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// Template renders the chart in a folder. knows are kinds that the cluster knows beside
// Kubernetes' own, as GROUP/VERSION/KIND.
func Template(folder, release, namespace string, values map[string]any, knows ...string) (string, error) {
	c, err := loader.Load(folder)
	if err != nil {
		return "", err
	}
	caps := common.DefaultCapabilities.Copy()
	caps.APIVersions = append(slices.Clone(caps.APIVersions), knows...)
	v, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, caps)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(c, v)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) == ".yaml" && strings.TrimSpace(files[name]) != "" {
			out.WriteString("\n---\n" + strings.TrimPrefix(strings.TrimSpace(files[name]), "---"))
		}
	}
	return out.String() + "\n", nil
}
