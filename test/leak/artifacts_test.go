package leak_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/test/leak"
)

func TestArtifactsKeepTokensApart(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(leak.Variable, folder)
	for range 2 { // the second run replaces what the first one left
		a, err := leak.Open("run")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, part := range []string{"one", "two/sub", "two/sub"} {
			wg.Go(func() {
				if err := a.Keep(part, map[string]string{"log": part + " was here", "empty": ""}, token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	got := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if info, e := d.Info(); e != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v %v", path, info.Mode(), e)
		}
		rel, _ := filepath.Rel(folder, path)
		got[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"run/one/log": "one was here", "run/two/sub/log": "two/sub was here", "run/two/sub-2/log": "two/sub was here",
		"tokens/run": strings.Repeat(token+"\n", 3),
	}, got); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
}

func TestNoArtifactsUnlessAskedFor(t *testing.T) {
	t.Setenv(leak.Variable, "")
	a, err := leak.Open("run")
	if a != nil || err != nil {
		t.Fatalf("%v, %v, want nothing", a, err)
	}
	if err := a.Keep("part", map[string]string{"log": "text"}, token); err != nil {
		t.Error(err)
	}
	t.Setenv(leak.Variable, "relative")
	if _, err := leak.Open("run"); err == nil {
		t.Error("a relative folder was accepted: each package would have one of its own")
	}
}
