package render

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// References are the keys of Secrets and ConfigMaps that a resource, or a document,
// needs.
type References struct {
	Secrets    []v1alpha1.SecretKeyRef
	ConfigMaps []v1alpha1.ConfigMapKeyRef
}

// Add takes in those of another.
func (r *References) Add(o References) {
	r.Secrets = append(r.Secrets, o.Secrets...)
	r.ConfigMaps = append(r.ConfigMaps, o.ConfigMaps...)
}

// tidy sorts, and leaves doubles out.
func (r References) tidy() References {
	slices.SortFunc(r.Secrets, func(a, b v1alpha1.SecretKeyRef) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Key, b.Key))
	})
	slices.SortFunc(r.ConfigMaps, func(a, b v1alpha1.ConfigMapKeyRef) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Key, b.Key))
	})
	r.Secrets, r.ConfigMaps = slices.Compact(r.Secrets), slices.Compact(r.ConfigMaps)
	return r
}

var reference = regexp.MustCompile(`^\$\{file:` + secretDir + `/([^/}]+)/([^/}]+)\}$`)

// secretOf reads what fileRef has written. Texts of users are escaped and never match.
func secretOf(text string) (v1alpha1.SecretKeyRef, bool) {
	m := reference.FindStringSubmatch(text)
	if m == nil {
		return v1alpha1.SecretKeyRef{}, false
	}
	return v1alpha1.SecretKeyRef{Name: m[1], Key: m[2]}, true
}

// ReferencesOf finds what a document, or an entry of one, refers to.
func ReferencesOf(doc Tree) References {
	var r References
	collect(doc, &r)
	return r.tidy()
}

func collect(v any, r *References) {
	switch v := v.(type) {
	case Tree:
		for key, item := range v {
			if files, ok := item.(Tree); ok && key == "tls" {
				collectFiles(files, r)
			}
			collect(item, r)
		}
	case []any:
		for _, item := range v {
			collect(item, r)
		}
	case string:
		if ref, ok := secretOf(v); ok {
			r.Secrets = append(r.Secrets, ref)
		}
	}
}

// collectFiles finds the files of a section tls.
func collectFiles(files Tree, r *References) {
	for _, key := range []string{"caFile", "certFile", "keyFile"} {
		path, _ := files[key].(string)
		if rest, ok := strings.CutPrefix(path, secretDir+"/"); ok {
			name, key, _ := strings.Cut(rest, "/")
			r.Secrets = append(r.Secrets, v1alpha1.SecretKeyRef{Name: name, Key: key})
		} else if rest, ok := strings.CutPrefix(path, caDir+"/"); ok {
			name, key, _ := strings.Cut(rest, "/")
			r.ConfigMaps = append(r.ConfigMaps, v1alpha1.ConfigMapKeyRef{Name: name, Key: key})
		}
	}
}
