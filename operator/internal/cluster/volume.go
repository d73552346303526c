package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// content is what a volume's files hold, by their paths, and who may read them.
type content map[string]contentFile

type contentFile struct {
	text []byte
	mode fs.FileMode
}

// equal is true when files, texts and modes are the same.
func (c content) equal(other content) bool {
	return maps.EqualFunc(c, other, func(a, b contentFile) bool { return a.mode == b.mode && bytes.Equal(a.text, b.text) })
}

// volumeContent returns what a volume has to hold now; nil for one that is a plain
// folder. The error says what is missing; it may come yet.
func (p *pod) volumeContent(v corev1.Volume) (content, error) {
	ns := p.seen().Namespace
	switch {
	case v.EmptyDir != nil:
		return nil, nil
	case v.ConfigMap != nil:
		data, err := p.k.configMap(ns, v.ConfigMap.Name)
		return choose(p.rewritten(data), orOptional(err, v.ConfigMap.Optional), v.ConfigMap.Items, v.ConfigMap.DefaultMode, v.ConfigMap.Optional)
	case v.Secret != nil:
		data, err := p.k.secret(ns, v.Secret.SecretName)
		return choose(data, orOptional(err, v.Secret.Optional), v.Secret.Items, v.Secret.DefaultMode, v.Secret.Optional)
	case v.DownwardAPI != nil:
		return p.downward(v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.Projected != nil:
		all := make(content)
		for _, source := range v.Projected.Sources {
			part, err := p.projected(ns, source, v.Projected.DefaultMode)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, part)
		}
		return all, nil
	}
	return nil, fmt.Errorf("this kind of volume is not supported")
}

func (p *pod) projected(ns string, source corev1.VolumeProjection, mode *int32) (content, error) {
	switch {
	case source.ConfigMap != nil:
		data, err := p.k.configMap(ns, source.ConfigMap.Name)
		return choose(p.rewritten(data), orOptional(err, source.ConfigMap.Optional), source.ConfigMap.Items, mode, source.ConfigMap.Optional)
	case source.Secret != nil:
		data, err := p.k.secret(ns, source.Secret.Name)
		return choose(data, orOptional(err, source.Secret.Optional), source.Secret.Items, mode, source.Secret.Optional)
	case source.DownwardAPI != nil:
		return p.downward(source.DownwardAPI.Items, mode)
	case source.ServiceAccountToken != nil:
		token, err := p.token(source.ServiceAccountToken)
		return content{source.ServiceAccountToken.Path: {token, fileMode(nil, mode)}}, err
	}
	return nil, fmt.Errorf("this projected source is not supported")
}

// rewritten has the pod's mount paths in texts of ConfigMaps replaced, as they are
// in arguments: a configuration names files.
func (p *pod) rewritten(data map[string][]byte) map[string][]byte {
	texts := make(map[string][]byte, len(data))
	for key, text := range data {
		texts[key] = []byte(p.paths.rewrite(string(text)))
	}
	return texts
}

// choose makes files of the keys that items name, or of all.
func choose(data map[string][]byte, err error, items []corev1.KeyToPath, mode *int32, optional *bool) (content, error) {
	if err != nil {
		return nil, err
	}
	files := make(content)
	if items == nil {
		for key, text := range data {
			files[key] = contentFile{text, fileMode(nil, mode)}
		}
		return files, nil
	}
	for _, item := range items {
		text, ok := data[item.Key]
		switch {
		case ok:
			files[path.Clean(item.Path)] = contentFile{text, fileMode(item.Mode, mode)}
		case optional == nil || !*optional:
			return nil, fmt.Errorf("there is no key %q", item.Key)
		}
	}
	return files, nil
}

// fileMode is that of the item, else of the volume, else what Kubernetes gives.
func fileMode(modes ...*int32) fs.FileMode {
	for _, mode := range modes {
		if mode != nil {
			return fs.FileMode(*mode) & fs.ModePerm
		}
	}
	return 0o644
}

func (p *pod) downward(items []corev1.DownwardAPIVolumeFile, mode *int32) (content, error) {
	files := make(content)
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("%s: only fields of the pod are supported in volumes", item.Path)
		}
		value, err := field(p.seen(), p.ip, item.FieldRef.FieldPath)
		if err != nil {
			return nil, err
		}
		files[path.Clean(item.Path)] = contentFile{[]byte(value), fileMode(item.Mode, mode)}
	}
	return files, nil
}

// token asks for a token of the pod's service account. A pod keeps its first one;
// tests are over before it expires.
func (p *pod) token(source *corev1.ServiceAccountTokenProjection) ([]byte, error) {
	if kept, ok := p.tokens[source.Audience]; ok {
		return kept, nil
	}
	seen := p.seen()
	account := seen.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef:    &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: seen.Name, UID: seen.UID},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	ctx, cancel := context.WithTimeout(p.k.ctx, Patience)
	defer cancel()
	got, err := p.k.clientset.CoreV1().ServiceAccounts(seen.Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	p.tokens[source.Audience] = []byte(got.Status.Token)
	return p.tokens[source.Audience], nil
}

// publishFiles makes a folder hold these files, all at one moment, as a kubelet
// does: the files lie in a folder of their own that the symlink ..data points to,
// and a rename points it to the next. What is seen at the volume's top are symlinks
// through ..data.
func publishFiles(dir string, files content) error {
	next, err := os.MkdirTemp(dir, "..files-")
	if err != nil {
		return err
	}
	if err := os.Chmod(next, 0o755); err != nil {
		return err
	}
	tops := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(next, filepath.FromSlash(name))
		if !strings.HasPrefix(file, next+string(filepath.Separator)) {
			return fmt.Errorf("%q leads out of the volume", name)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, files[name].text, 0o600); err != nil {
			return err
		}
		if err := os.Chmod(file, files[name].mode); err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	data := filepath.Join(dir, "..data")
	last, _ := os.Readlink(data) // there is none at first
	aside := filepath.Join(dir, "..data-next")
	_ = os.Remove(aside) // of a time when the rename went wrong
	if err := os.Symlink(filepath.Base(next), aside); err != nil {
		return err
	}
	if err := os.Rename(aside, data); err != nil {
		return err
	}
	for top := range tops {
		link := filepath.Join(dir, top)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", top), link); err != nil {
			return err
		}
	}
	return sweep(dir, last, tops)
}

// sweep removes the files before, and the links to those that are no more.
func sweep(dir, last string, tops map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !tops[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if last == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, last))
}
