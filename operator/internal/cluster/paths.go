package cluster

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// paths say which folder of this machine stands for which path in a pod.
type paths map[string]string

// mounts collects the mount paths of all containers of a pod. volumeDir gives the
// folder of a volume.
func mounts(pod *corev1.Pod, volumeDir func(string) string) (paths, error) {
	found := make(paths)
	for _, c := range pod.Spec.Containers {
		for _, m := range c.VolumeMounts {
			at := path.Clean(m.MountPath)
			if !strings.HasPrefix(at, "/") || at == "/" {
				return nil, fmt.Errorf("container %s mounts %s at %q: a path from / that is not / itself was expected", c.Name, m.Name, m.MountPath)
			}
			if m.SubPathExpr != "" {
				return nil, fmt.Errorf("container %s has a subPathExpr, which is not supported", c.Name)
			}
			dir := filepath.Join(volumeDir(m.Name), filepath.FromSlash(m.SubPath))
			if other, ok := found[at]; ok && other != dir {
				return nil, fmt.Errorf("two containers mount different volumes at %s: processes have one file system", at)
			}
			found[at] = dir
		}
	}
	return found, nil
}

// rewrite replaces each mount path in a text with its folder: where the path
// stands alone or goes on with a slash, and nothing of a path or URL is before it.
// The longest path wins, and what was put in is not looked at again.
func (p paths) rewrite(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '/' && (i == 0 || !ofPath(text[i-1])) {
			if at := p.longest(text[i:]); at != "" {
				b.WriteString(p[at])
				i += len(at)
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// longest returns the longest mount path that text begins with.
func (p paths) longest(text string) string {
	best := ""
	for at := range p {
		rest, ok := strings.CutPrefix(text, at)
		if ok && len(at) > len(best) && (rest == "" || rest[0] == '/' || !ofPath(rest[0])) {
			best = at
		}
	}
	return best
}

// ofPath are the characters of which names in paths are mostly made, and the slash.
func ofPath(c byte) bool {
	return c == '/' || c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
