package config

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
)

// program is what an entry says of the process that it starts, once that is known
// to be one. Until then its keys are kept as they stand: clients leave them in
// entries that have a URL.
type program struct {
	command string
	args    []string
	env     map[string]string
	cwd     string
	secrets []string // of args: what came from variables and files
	line    string   // the command as it is written, for people
	shown   []string // the arguments as they are in line
}

// kept is a value that is read later, if at all.
type kept struct{ *node }

func (k *kept) decodeNode(_ *decoder, n *node, _ string) { k.node = n }

// programKeys are those of a process, connectionKeys those of a URL.
var (
	programKeys    = []string{"args", "env", "envFile", "cwd"}
	connectionKeys = []string{"auth", "headers", "passthroughHeaders", "authRetry", "tls", "proxy", "allowInsecure"}
)

// useless reports the keys of a URL in the entry of a process. What is empty was
// left there by a client.
func (d *decoder) useless(s *server) {
	for _, key := range connectionKeys {
		m := s.value.get(key)
		if m == nil || m.value.kind != scalar && len(m.value.members)+len(m.value.items) == 0 {
			continue
		}
		fix := "remove it"
		if key == "auth" || key == "headers" {
			fix = "give the process what it needs with env"
		}
		d.add(m.mark, join(s.path, key), "is for a backend with a URL, and this one is a process", fix)
	}
	if m := section(s.value, "timeouts").get("connect"); m != nil {
		d.add(m.mark, join(join(s.path, "timeouts"), "connect"), "is for a backend with a URL, and this one is a process", "remove it")
	}
}

// unused warns of the keys of a process in the entry of a URL.
func (d *decoder) unused(s *server) {
	for _, key := range programKeys {
		if m := s.value.get(key); m != nil {
			d.warn(m, join(s.path, key), s.key, "it is for a process, and this entry has a URL")
		}
	}
}

// checkProgram reads what a process needs.
func (d *decoder) checkProgram(s *server) {
	p := &s.program
	if m := s.value.get("command"); m == nil {
		if !d.bad(join(s.path, "type")) && !d.bad(join(s.path, "transport")) {
			d.add(s.mark, s.path, "has no command", "name the program to start, command: npx")
		}
	} else {
		d.programText(m.value, join(s.path, "command"), &p.command)
		if p.command == "" && !d.bad(join(s.path, "command")) {
			d.add(m.value.mark, join(s.path, "command"), "is empty", "name the program to start")
		}
		p.line = word(m.value.text)
	}
	d.programArgs(s)
	d.programEnv(s)
	if m := s.value.get("cwd"); m != nil {
		path := join(s.path, "cwd")
		d.programText(m.value, path, &p.cwd)
		p.cwd = d.x.abs(p.cwd)
		if info, err := os.Stat(p.cwd); !d.bad(path) && (err != nil || !info.IsDir()) {
			d.add(m.value.mark, path, "is no folder", "correct the path")
		}
	}
	// A name alone is looked up in the PATH.
	if strings.ContainsAny(p.command, `/\`) && !filepath.IsAbs(p.command) && p.cwd == "" {
		p.command = d.x.abs(p.command)
	}
	d.useless(s)
	d.checkIsolation(s)
	d.checkSelection(s)
}

// programText reads a text that a program is given.
func (d *decoder) programText(n *node, path string, into *string) {
	if n.kind == scalar && n.tag == "null" {
		d.add(n.mark, path, "is empty", "give it a value or remove the key")
		return
	}
	*into, _ = d.scalar(n, path, "a text")
}

func (d *decoder) programArgs(s *server) {
	m := s.value.get("args")
	path := join(s.path, "args")
	switch {
	case m == nil, m.value.kind == scalar && m.value.tag == "null":
		return
	case m.value.kind != list:
		d.wrong(m.value, path, "a list")
		return
	}
	secret := false // the option before has a secret for its value
	for i, n := range m.value.items {
		var arg string
		d.programText(n, index(path, i), &arg)
		s.program.args = append(s.program.args, arg)
		name, value, assigned := strings.Cut(arg, "=")
		option := strings.HasPrefix(arg, "-")
		shown := n.text
		switch {
		case secret && !option, secretText(arg):
			s.program.hide(arg)
			shown = redacted
		case assigned && auth.SecretName(name):
			s.program.hide(value)
			shown = name + "=" + redacted
		case refers(n.text) && !filepath.IsAbs(arg): // every other line that a process prints has a path
			s.program.hide(arg)
		}
		s.program.shown = append(s.program.shown, shown)
		s.program.line += " " + word(shown)
		secret = option && !assigned && auth.SecretName(arg)
	}
}

// hide keeps an argument, or a part of it, out of what the process writes.
func (p *program) hide(secret string) {
	p.secrets = append(p.secrets, strings.Fields(secret)...)
}

// secretText reports whether a text looks like a credential: a token of a known
// form, the value of an Authorization header, or a URL with a password.
func secretText(text string) bool {
	for word := range strings.FieldsSeq(text) {
		if u, err := url.Parse(word); tokenShape.MatchString(word) || strings.EqualFold(word, "bearer") || err == nil && u.User != nil {
			return true
		}
	}
	return false
}

// programEnv reads the variables of a process: those of envFile, and over them
// those of env.
func (d *decoder) programEnv(s *server) {
	env := map[string]string{}
	s.program.env = env
	if m := s.value.get("envFile"); m != nil {
		path := join(s.path, "envFile")
		var file string
		if d.programText(m.value, path, &file); !d.bad(path) {
			d.envFile(m.value, path, d.x.abs(file), env)
		}
	}
	m := s.value.get("env")
	path := join(s.path, "env")
	switch {
	case m == nil, m.value.kind == scalar && m.value.tag == "null":
		return
	case m.value.kind != mapping:
		d.wrong(m.value, path, "a mapping")
		return
	}
	for _, v := range m.value.members {
		at := join(path, v.key)
		if v.key == "" || strings.ContainsAny(v.key, "=\x00") {
			d.add(v.mark, at, "cannot be the name of a variable", "take out = and NUL")
			continue
		}
		var text string
		d.programText(v.value, at, &text)
		env[v.key] = text
	}
}

// envFile reads the lines NAME=VALUE of a file, as clients have them: comments and
// blank lines between, perhaps "export" in front, perhaps quotes around a value.
// Values are taken as they are.
func (d *decoder) envFile(n *node, path, file string, env map[string]string) {
	text, err := d.x.read(file)
	if err != nil {
		d.expansion(n, path, err)
		return
	}
	number := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\x00'\"") || strings.ContainsRune(value, 0) {
			d.add(n.mark, path, fmt.Sprintf("line %d of the file is not NAME=VALUE", number), "correct it, or make it a comment with #")
			continue
		}
		env[name] = unquoteEnv(strings.TrimSpace(value))
	}
}

// unquoteEnv takes the quotes or the comment off a value.
func unquoteEnv(value string) string {
	switch {
	case len(value) > 1 && value[0] == '\'' && value[len(value)-1] == '\'':
		return value[1 : len(value)-1]
	case len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"':
		if text, err := strconv.Unquote(value); err == nil {
			return text
		}
		return value[1 : len(value)-1]
	}
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimSpace(value[:i])
	}
	return value
}

// word is one word of a command, quoted where a reader could not tell where it
// ends.
func word(text string) string {
	if text == "" || strings.ContainsAny(text, " \t\n'\"\\") {
		return strconv.Quote(text)
	}
	return text
}

// options makes the options of a backend that is a process.
func (p *program) options(o *backend.Options) {
	o.Transport, o.URL = backend.TransportStdio, ""
	o.Command, o.Args, o.Cwd, o.Secrets = p.command, p.args, p.cwd, p.secrets
	if len(p.env) > 0 {
		o.Env = p.env
	}
}
