package render

import (
	"errors"
	"fmt"
	"strings"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// A digest that stands for a token where its value is not known.
var someDigest = "sha256:" + strings.Repeat("1", 64)

// Values tells what a key of a Secret holds. It is asked while a document is checked and
// the answers are not kept.
type Values func(v1alpha1.SecretKeyRef) (string, bool)

// Check has the gateway's own rules judge a document, before a gateway gets it. Secrets
// are put in where values has them, so that those are judged, too. The files of a section
// tls are not looked at. The error names keys as the resource does and shows no secret.
func Check(doc Tree, values Values) error {
	text := YAML(stand(doc, values))
	_, _, err := config.Parse(ConfigDir+"/"+ConfigFile, []byte(text), config.LoadOptions{Env: func(name string) (string, bool) {
		return "127.0.0.1", name == PodIP
	}})
	return inWords(err)
}

// CheckBackend judges the entry of one backend. credentials are the shared ones, which
// have been judged.
func CheckBackend(name string, entry Tree, credentials map[string]Tree, values Values) error {
	doc := Tree{"mcpServers": Tree{name: entry}}
	if auth, ok := entry["auth"].(Tree); ok {
		if use, ok := auth["use"].(string); ok && credentials[use] != nil {
			doc["credentials"] = Tree{use: credentials[use]}
		}
	}
	return Check(doc, values)
}

// CheckCredential judges a shared credential.
func CheckCredential(name string, credential Tree, values Values) error {
	return Check(Tree{
		"credentials": Tree{name: credential},
		"mcpServers":  Tree{"x": Tree{"url": "https://localhost", "auth": Tree{"use": name}}},
	}, values)
}

// CheckToken judges what a Secret holds as the token of a caller.
func CheckToken(value string) error {
	value = trim(value)
	switch {
	case value == "":
		return errors.New("is empty: put a token into it")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("holds a character that no token may have, a space or a line break perhaps")
	}
	return nil
}

// stand makes a document that can be checked where the files are not.
func stand(doc Tree, values Values) Tree {
	out, _ := replace(doc, func(ref v1alpha1.SecretKeyRef) string {
		if values != nil {
			if v, ok := values(ref); ok {
				return escape(trim(v))
			}
		}
		return "stand-in"
	}).(Tree)
	if admin, ok := out["admin"].(Tree); ok {
		admin["token"] = someDigest
	}
	if incoming, ok := out["incomingAuth"].(Tree); ok {
		list, _ := incoming["tokens"].([]any)
		for i, t := range list {
			if text, _ := t.(string); !strings.HasPrefix(text, "sha256:") {
				list[i] = someDigest
			}
		}
	}
	for _, entry := range Entries(out, "mcpServers") {
		if _, ok := entry["tls"]; ok {
			entry["tls"] = Tree{}
		}
	}
	return out
}

// replace copies a tree, with other texts for the references in it.
func replace(v any, with func(v1alpha1.SecretKeyRef) string) any {
	switch v := v.(type) {
	case Tree:
		out := make(Tree, len(v))
		for k, item := range v {
			out[k] = replace(item, with)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = replace(item, with)
		}
		return out
	case string:
		if ref, ok := secretOf(v); ok {
			return with(ref)
		}
	}
	return v
}

// trim drops what the gateway drops at the end of a file.
func trim(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

// inWords makes one line of the problems of a document. Their places in the text are left
// out: nobody has seen the text.
func inWords(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	var parts []string
	for _, p := range problems {
		text := p.Message
		if p.Path != "" {
			text = p.Path + " " + text
		}
		if p.Fix != "" {
			text += ": " + p.Fix
		}
		parts = append(parts, text)
	}
	if n := len(parts); n > 5 {
		parts = append(parts[:5], fmt.Sprintf("and %d more", n-5))
	}
	return errors.New(strings.Join(parts, "; "))
}
