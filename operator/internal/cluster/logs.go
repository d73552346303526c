package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// LogFile is where everything lies that a container wrote to its standard output
// and standard error, in all its runs. It stays until the cluster is stopped.
func (k *Kubelet) LogFile(ns, pod, container string) string {
	return filepath.Join(k.logDir(), fmt.Sprintf("%s_%s_%s.log", ns, pod, container))
}

// Log returns what a container wrote so far.
func (k *Kubelet) Log(t testing.TB, ns, pod, container string) string {
	t.Helper()
	text, err := os.ReadFile(k.LogFile(ns, pod, container))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// logFiles are those of a namespace, and our own.
func (k *Kubelet) logFiles(ns string) []string {
	files, _ := filepath.Glob(filepath.Join(k.logDir(), ns+"_*.log")) // the pattern is well-formed
	return append(files, k.complaintsFile())
}

// serveLogs is the part of a kubelet's API that kubectl logs needs.
func (k *Kubelet) serveLogs() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(k.LogFile(r.PathValue("ns"), r.PathValue("pod"), r.PathValue("container")))
		if err != nil {
			http.Error(w, "the container has not run", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(text)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = k.claim
	server.StartTLS() // the API server does not look at the certificate
	k.logs = server.Config
}

// VolumeDir is the folder of a pod's volume on this machine.
func (k *Kubelet) VolumeDir(ns, pod, volume string) (string, error) {
	p := k.find(ns, pod)
	if p == nil {
		return "", fmt.Errorf("pod %s/%s does not run", ns, pod)
	}
	return p.volumeDir(volume), nil
}

// AwaitFile waits until a file in a pod's volume has this content: until a changed
// Secret has reached the pod, for instance.
func (k *Kubelet) AwaitFile(t testing.TB, ns, pod, volume, file string, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	p := k.find(ns, pod)
	if p == nil {
		t.Fatalf("pod %s/%s does not run", ns, pod)
	}
	for {
		written := p.written.change()
		got, err := os.ReadFile(filepath.Join(p.volumeDir(volume), filepath.FromSlash(file)))
		if err == nil && bytes.Equal(got, want) {
			return
		}
		select {
		case <-written:
		case <-ctx.Done():
			t.Fatalf("waiting for %s in volume %s of %s/%s: it has %d bytes (%v), not the %d wanted", file, volume, ns, pod, len(got), err, len(want))
		}
	}
}
