package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestMountPathsAreReplacedWhereTheyArePaths(t *testing.T) {
	p := paths{"/etc/app": "/v/app", "/etc/app/tls": "/v/tls", "/data": "/etc/app/x"}
	for text, want := range map[string]string{
		"/etc/app":                       "/v/app",
		"--config=/etc/app/a.yaml":       "--config=/v/app/a.yaml",
		"/etc/app/tls/crt /etc/app/tlx":  "/v/tls/crt /v/app/tlx",
		"/etc/apple /etc/app-2":          "/etc/apple /etc/app-2",
		"http://host/etc/app":            "http://host/etc/app",
		"/srv/data":                      "/srv/data",
		"/data":                          "/etc/app/x",
		`{"file": "/data/t", "/data":1}`: `{"file": "/etc/app/x/t", "/etc/app/x":1}`,
		"":                               "",
		"/":                              "/",
	} {
		if got := p.rewrite(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestMountsOfOnePodShareAFileSystem(t *testing.T) {
	mount := func(at ...corev1.VolumeMount) *corev1.Pod {
		pod := &corev1.Pod{}
		for _, m := range at {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "c", VolumeMounts: []corev1.VolumeMount{m}})
		}
		return pod
	}
	dir := func(volume string) string { return "/v/" + volume }
	got, err := mounts(mount(
		corev1.VolumeMount{Name: "a", MountPath: "/a/"}, corev1.VolumeMount{Name: "a", MountPath: "/a"},
		corev1.VolumeMount{Name: "b", MountPath: "/b", SubPath: "x/y"},
	), dir)
	if diff := cmp.Diff(paths{"/a": "/v/a", "/b": "/v/b/x/y"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, pod := range []*corev1.Pod{
		mount(corev1.VolumeMount{Name: "a", MountPath: "/a"}, corev1.VolumeMount{Name: "b", MountPath: "/a"}),
		mount(corev1.VolumeMount{Name: "a", MountPath: "/"}),
		mount(corev1.VolumeMount{Name: "a", MountPath: "/a", SubPathExpr: "$(X)"}),
	} {
		if got, err := mounts(pod, dir); err == nil {
			t.Errorf("%v was accepted", got)
		}
	}
}

func TestVariablesAreExpanded(t *testing.T) {
	env := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"$(A)":          "1",
		"x$(A)y$(A)":    "x1y1",
		"$(B)":          "$(A)",
		"$(MISSING)":    "$(MISSING)",
		"$$(A)":         "$(A)",
		"$$$(A)":        "$1",
		"$A ${A} $( $":  "$A ${A} $( $",
		"$(A":           "$(A",
		"a$$b":          "a$b",
		"$(MISS $(A))$": "$(MISS 1)$",
	} {
		if got := expand(text, env); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestResourcesAreRoundedUpToTheDivisor(t *testing.T) {
	c := &corev1.Container{Resources: corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1500Ki"), corev1.ResourceCPU: resource.MustParse("1500m")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
	}}
	for _, test := range []struct{ of, divisor, want string }{
		{"limits.memory", "0", "1536000"},
		{"limits.memory", "1Mi", "2"},
		{"limits.cpu", "1", "2"},
		{"requests.cpu", "1m", "100"},
	} {
		got, err := resourceField(c, &corev1.ResourceFieldSelector{Resource: test.of, Divisor: resource.MustParse(test.divisor)})
		if err != nil || got != test.want {
			t.Errorf("%s by %s is %q, %v, want %q", test.of, test.divisor, got, err, test.want)
		}
	}
	if got, err := resourceField(c, &corev1.ResourceFieldSelector{Resource: "requests.memory"}); err == nil {
		t.Errorf("a request that is not made is %q", got)
	}
}

// A reader that opens a file through the volume sees the old or the new text, never
// a mixture; what is gone from the source is gone from the folder.
func TestFilesOfAVolumeChangeTogether(t *testing.T) {
	dir := t.TempDir()
	publish := func(files content) {
		t.Helper()
		if err := publishFiles(dir, files); err != nil {
			t.Fatal(err)
		}
		for name, file := range files {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(got) != string(file.text) {
				t.Errorf("%s has %q, %v, want %q", name, got, err, file.text)
			}
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != file.mode {
				t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, file.mode)
			}
		}
	}
	publish(content{"a": {[]byte("1"), 0o400}, "b/c": {[]byte("2"), 0o644}, "gone": {[]byte("3"), 0o644}})
	before, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil {
		t.Fatal(err)
	}
	if link, err := os.Readlink(filepath.Join(dir, "a")); err != nil || link != "..data/a" {
		t.Errorf("a points to %q, %v", link, err)
	}
	publish(content{"a": {[]byte("4"), 0o400}, "b/d": {[]byte("5"), 0o644}})
	after, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil || before == after {
		t.Errorf("..data points to %q as before, %v", after, err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"..data", after, "a", "b"}, names); diff != "" {
		t.Error(diff)
	}
	if err := publishFiles(dir, content{"../out": {nil, 0o644}}); err == nil {
		t.Error("a file was written out of the volume")
	}
}

func TestLocalAddresses(t *testing.T) {
	for ip, want := range map[string]string{"10.127.3.9": "127.0.3.9", "10.12.7.1": "10.12.7.1", "127.0.0.1": "127.0.0.1"} {
		if got := Local(ip); got != want {
			t.Errorf("%s is %s, want %s", ip, got, want)
		}
	}
}
