package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/caller"
)

// valueAt returns the value of a key, or the section itself where it is left out.
func valueAt(n *node, key string) *node {
	if n == nil {
		return &node{mark: mark{1, 1}, kind: mapping}
	}
	if m := n.get(key); m != nil {
		return m.value
	}
	return n
}

// section returns a mapping below the root, empty where it is left out.
func section(root *node, key string) *node {
	if m := root.get(key); m != nil && m.value.kind == mapping {
		return m.value
	}
	return &node{mark: root.mark, kind: mapping}
}

// checkGateway checks everything but the backends and their credentials.
func (d *decoder) checkGateway(root *node, f *file) {
	d.checkListeners(root, f)
	if !d.bad("incomingAuth") {
		if _, err := caller.New(f.IncomingAuth); err != nil {
			n := section(root, "incomingAuth")
			d.located(n, "incomingAuth", n.mark, err)
		}
	}
	d.checkHosts(root, f)
	for key, options := range map[string]any{
		"catalog": f.Catalog, "health": f.Health, "sessions": f.Sessions, "telemetry": f.Telemetry, "limits": f.Limits,
	} {
		n := section(root, key)
		d.validate(n, key, n.mark, options)
	}
	d.checkWord(root, "log", "level", f.Log.Level, []string{"debug", "info", "warn", "error"})
	d.checkWord(root, "log", "format", f.Log.Format, []string{"auto", "text", "json"})
}

// checkWord wants one of a few words.
func (d *decoder) checkWord(root *node, in, key, value string, allowed []string) {
	m := section(root, in).get(key)
	if m == nil || d.bad(join(in, key)) || slices.Contains(allowed, value) {
		return
	}
	d.add(m.value.mark, join(in, key), "unknown value "+quote(m.value), suggestion(m.value.text, allowed))
}

// Validate reports limits that are no limits.
func (l Limits) Validate() error {
	v := reflect.ValueOf(l)
	for key, f := range fieldsOf(v) {
		if f.Int() < 0 {
			return fmt.Errorf("%s is negative: give it a positive value, or remove the key for its default", key)
		}
	}
	return nil
}

// checkListeners wants two addresses that can be listened on, and someone at the
// door of those that others can reach.
func (d *decoder) checkListeners(root *node, f *file) {
	main := valueAt(root, "listen")
	adminSection := section(root, "admin")
	admin := valueAt(adminSection, "listen")
	mainOK := d.checkAddress(main, "listen", f.Listen)
	adminOK := d.checkAddress(admin, "admin.listen", f.Admin.Listen)

	if mainOK && f.IncomingAuth.Public() && !d.bad("incomingAuth") && !caller.IsLoopback(f.Listen) {
		d.add(main.mark, "listen", "other machines can reach this address and incomingAuth lets everybody call",
			"set incomingAuth: {type: bearer, tokens: [...]} or listen on 127.0.0.1")
	}
	token := adminSection.get("token")
	if adminOK && token == nil && !caller.IsLoopback(f.Admin.Listen) {
		d.add(admin.mark, "admin.listen", "other machines can reach this address and there is no token",
			"set admin.token or listen on 127.0.0.1")
	}
	if token != nil && !d.bad("admin.token") {
		// The same rules as for the tokens of callers, and the same words.
		_, err := caller.New(caller.Options{Type: caller.TypeBearer, Tokens: []auth.Value{f.Admin.Token}})
		for _, e := range flatten(err) {
			text := strings.TrimPrefix(e.Error(), "tokens[0]: ")
			message, fix, _ := strings.Cut(text, ": ")
			d.add(token.value.mark, "admin.token", message, fix)
		}
	}
	if mainOK && adminOK && overlap(f.Listen, f.Admin.Listen) {
		at := admin
		if adminSection.get("listen") == nil {
			at = main
		}
		d.add(at.mark, "admin.listen", "is the address of listen as well", "use another port: the default is "+DefaultAdminListen)
	}
}

// checkAddress wants host:port.
func (d *decoder) checkAddress(n *node, path, address string) bool {
	if d.bad(path) {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	_, portErr := strconv.ParseUint(port, 10, 16)
	fix := "write host:port, such as " + DefaultListen
	switch {
	case err != nil && strings.Trim(address, "0123456789") == "" && address != "":
		fix = "write 127.0.0.1:" + address
		if refers(n.text) {
			fix = "write 127.0.0.1: before it"
		}
	case err != nil:
	case portErr != nil:
		fix = "use a port from 0 to 65535"
	case host != "" && !isHost(host):
		fix = "use an IP address, localhost or a host name before the colon"
	default:
		return true
	}
	d.add(n.mark, path, "is not an address to listen on: "+quote(n), fix)
	return false
}

// isHost reports whether a text can be the host of an address.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

// overlap reports whether two addresses cannot both be listened on. Port 0 is
// another port each time.
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	numA, _ := strconv.ParseUint(portA, 10, 16)
	numB, _ := strconv.ParseUint(portB, 10, 16)
	if numA != numB || numA == 0 {
		return false
	}
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	if hostA == "localhost" {
		hostA = "127.0.0.1"
	}
	if hostB == "localhost" {
		hostB = "127.0.0.1"
	}
	return strings.EqualFold(hostA, hostB) || everywhere(hostA) || everywhere(hostB)
}

// checkHosts checks the names under which the gateway may be addressed.
func (d *decoder) checkHosts(root *node, f *file) {
	o := caller.GuardOptions{}
	if m := root.get("publicURL"); m != nil && !d.bad("publicURL") {
		u := d.checkURL(m.value, "publicURL", f.PublicURL)
		if u != nil && u.RawQuery != "" {
			d.add(m.value.mark, "publicURL", "has a query", "remove it")
		}
		if u != nil {
			o.PublicURL = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
		}
	}
	if !d.bad("allowedHosts") {
		o.AllowedHosts = f.AllowedHosts
	}
	if _, err := caller.NewGuard(o); err != nil {
		for _, e := range flatten(err) {
			n, path, _ := resolveKey(root, "", e.Error())
			if n == nil {
				n = root
			}
			_, fix, _ := strings.Cut(e.Error(), ": ")
			d.add(n.mark, path, "is not a host: "+quote(n), fix)
		}
	}
}
