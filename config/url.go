package config

import (
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// checkURL wants an http or https URL without anything secret in it. It quotes
// no part of the URL: that part could be the secret.
func (d *decoder) checkURL(n *node, path, raw string) *url.URL {
	bad := func(message, fix string) *url.URL {
		d.add(n.mark, path, message, fix)
		return nil
	}
	const form = "write it as https://host/path"
	move := "take them out"
	if strings.HasPrefix(path, "mcpServers") {
		move = "move them to auth"
	}
	if raw == "" {
		return bad("is empty", form)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("is not a URL", form)
	case u.User != nil:
		return bad("has credentials in it", move+": a URL is logged and shown")
	case u.Scheme == "":
		return bad("has no scheme", form)
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("has a scheme that is neither http nor https", form)
	case u.Hostname() == "":
		return bad("has no host", form)
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return bad("has a fragment (#...), which is never sent", "remove it")
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"):
		return bad("has a colon but no port", form)
	}
	if name := secretParameter(u); name != "" {
		if !strings.Contains(n.text, name) {
			name = "one from a variable" // which may itself be the credential
		}
		return bad("has query parameters that look like credentials, "+name, move+": a URL is logged and shown")
	}
	return u
}

// tokenShape are the forms of well-known tokens: JWTs and the prefixes under
// which issuers let secret scanners find theirs.
var tokenShape = regexp.MustCompile(`^(eyJ[A-Za-z0-9_-]{8,}\.|(sk|pk|rk|ghp|gho|ghs|ghu|glpat|xox[abpr]|github_pat|hf|pat)[-_][A-Za-z0-9_-]{8,}|AKIA[A-Z0-9]{12})`)

// secretParameter returns the name of the first query parameter that looks like
// a credential.
func secretParameter(u *url.URL) string {
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if auth.SecretName(name) && slices.ContainsFunc(query[name], func(v string) bool { return v != "" }) {
			return name
		}
		if slices.ContainsFunc(query[name], tokenShape.MatchString) {
			return name
		}
	}
	return ""
}

// private reports whether what is sent to u cannot be read on the way. Package
// backend refuses what is not by the same rule.
func private(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return u.Scheme == "https" || host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// checkProxy wants the URL of a proxy, or none.
func (d *decoder) checkProxy(n *node, path, raw string) {
	if raw == "" || raw == "none" {
		return
	}
	const form = "write http://host:port, or none for no proxy"
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		d.add(n.mark, path, "is not the URL of a proxy", form)
	case u.User != nil:
		d.add(n.mark, path, "has credentials in it", "remove the key and set HTTPS_PROXY in the environment of the gateway")
	}
}
