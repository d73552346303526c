package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLeakcheck(t *testing.T) {
	const token = "Zr83kdLq02mXvB71ppYt"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tokens := write("tokens", "\n"+token+"\nsecondTokenOfTheRun1\n")
	clean := write("clean/log", "nothing here\n")
	write("dirty/sub/log", "one\ntwo "+base64.StdEncoding.EncodeToString([]byte("u:"+token)))

	for name, test := range map[string]struct {
		args []string
		exit int
		want string
	}{
		"clean":          {[]string{"--tokens", tokens, clean}, 0, "2 tokens in none of 1 files"},
		"in a folder":    {[]string{"--tokens", tokens, filepath.Join(dir, "dirty")}, 1, "log: line 2: token 1 as base64"},
		"no tokens":      {[]string{clean}, 2, "--tokens FILE"},
		"no outputs":     {[]string{"--tokens", tokens}, 2, "no file to search in"},
		"missing output": {[]string{"--tokens", tokens, filepath.Join(dir, "gone")}, 2, "gone"},
		"short token":    {[]string{"--tokens", write("short", "abc\n"), clean}, 2, "line 1 has 3 characters"},
		"empty list":     {[]string{"--tokens", write("empty", "\n"), clean}, 2, "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if exit := run(test.args, strings.NewReader(""), &out, &out); exit != test.exit {
				t.Errorf("exit %d, want %d", exit, test.exit)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("printed %q, want %q in it", out.String(), test.want)
			}
			if strings.Contains(out.String(), token[:6]) {
				t.Errorf("printed the token: %q", out.String())
			}
		})
	}

	var out bytes.Buffer
	if exit := run([]string{"--tokens", "-", clean}, strings.NewReader(token), &out, &out); exit != 0 {
		t.Errorf("tokens from standard input: exit %d, printed %q", exit, out.String())
	}
}
