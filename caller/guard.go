package caller

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// GuardOptions say from where a listener may be called.
type GuardOptions struct {
	// AllowedHosts are the hosts by which the gateway may be addressed, and
	// whose web pages may call it, beside loopback: a name or an address, with
	// a port to allow that port alone. It is the configuration's allowedHosts.
	AllowedHosts []string
	// PublicURL is the address under which clients see the gateway, if there is
	// one. Its host is allowed as if it stood in AllowedHosts, without a port.
	PublicURL string
	// Authenticated is true for a listener whose callers show a credential. A
	// web page that has its own name resolved to the gateway does not have one,
	// so Host is not checked there.
	Authenticated bool
	// AnyHost are paths that may be asked under any Host, for probes that
	// address the gateway in ways nobody foresees. Each stands for itself alone.
	AnyHost []string
}

// Guard turns away requests that web pages of others make: a browser says in the
// header Origin whose page it is, and a page that rebinds its own name to the
// gateway's address betrays itself by the header Host. Both are compared with what
// the configuration knows, never with each other: a rebound page has them equal.
// Loopback is always allowed. A Guard is safe for concurrent use.
type Guard struct {
	hosts         []hostPort
	authenticated bool
	anyHost       []string
	known         atomic.Pointer[string] // the last Host that was allowed: nearly always the next one, too
}

// hostPort is a host in the form in which hosts are compared, and a port, "" for
// any.
type hostPort struct{ host, port string }

// NewGuard makes a guard. Its error names every entry that is wrong, with the fix.
func NewGuard(o GuardOptions) (*Guard, error) {
	g := &Guard{authenticated: o.Authenticated, anyHost: slices.Clone(o.AnyHost)}
	var errs []error
	for i, entry := range o.AllowedHosts {
		host, port, ok := splitHost(entry)
		if !ok {
			errs = append(errs, fmt.Errorf("allowedHosts[%d] is %q: write a host name or an address, with or without a port, as in mcp.example.com or 10.0.0.5:8484", i, shorten(entry)))
			continue
		}
		g.hosts = append(g.hosts, hostPort{host, port})
	}
	if o.PublicURL != "" {
		u, err := url.Parse(o.PublicURL)
		var host string
		ok := false
		if err == nil {
			host, _, ok = splitHost(u.Host)
		}
		if !ok {
			errs = append(errs, fmt.Errorf("publicURL is %q: write the address that clients use, as in https://mcp.example.com", shorten(o.PublicURL)))
		}
		g.hosts = append(g.hosts, hostPort{host: host})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return g, nil
}

// Check returns an *[Error] with status 403 for a request that comes from
// elsewhere, nil for others.
func (g *Guard) Check(r *http.Request) error {
	if err := g.checkOrigin(r); err != nil {
		return err
	}
	if g.authenticated || slices.Contains(g.anyHost, r.URL.Path) {
		return nil
	}
	return g.checkHost(r)
}

// Wrap answers the requests that Check refuses, and hands the others to next.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.Check(r); err != nil {
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkOrigin lets pass what no browser sent, and pages of allowed hosts.
func (g *Guard) checkOrigin(r *http.Request) error {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return nil
	}
	if len(origins) == 1 {
		if host, port, ok := splitOrigin(origins[0]); ok && g.allows(host, port) {
			return nil
		}
	}
	return &Error{
		Status: http.StatusForbidden,
		Message: fmt.Sprintf("requests of web pages from %q are not allowed: if it is yours, add its host to allowedHosts in the gateway's configuration",
			shorten(strings.Join(origins, ", "))),
	}
}

func (g *Guard) checkHost(r *http.Request) error {
	if known := g.known.Load(); known != nil && *known == r.Host {
		return nil
	}
	if host, port, ok := splitHost(r.Host); ok && g.allows(host, port) {
		known := strings.Clone(r.Host)
		g.known.Store(&known)
		return nil
	}
	return &Error{
		Status: http.StatusForbidden,
		Message: fmt.Sprintf("the gateway is not known as %q: if it is meant to be, add the host to allowedHosts in the gateway's configuration",
			shorten(r.Host)),
	}
}

func (g *Guard) allows(host, port string) bool {
	if loopback(host) {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(a hostPort) bool {
		return a.host == host && (a.port == "" || a.port == port)
	})
}

// splitOrigin reads the header Origin: a scheme, a host and perhaps a port, and
// nothing else (RFC 6454 section 7). Pages without an origin of their own send
// "null"; they could be anybody's.
func splitOrigin(origin string) (host, port string, ok bool) {
	scheme, rest, found := strings.Cut(origin, "://")
	if !found || (scheme != "http" && scheme != "https") {
		return "", "", false
	}
	host, port, ok = splitHost(rest)
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return host, port, ok
}

// splitHost reads a host with or without a port and returns the host in the form
// in which hosts are compared: an address as netip writes it, without brackets; a
// name in lower case, without the dot of the root. Anything that is neither is not
// ok, so that no second reading of it exists.
func splitHost(s string) (host, port string, ok bool) {
	host = s
	switch colon := strings.LastIndexByte(s, ':'); {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		host = s[1:end]
		if rest := s[end+1:]; rest != "" {
			if port, ok = strings.CutPrefix(rest, ":"); !ok || !validPort(port) {
				return "", "", false
			}
		}
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		return addr.Unmap().String(), port, true
	case colon >= 0 && strings.IndexByte(s, ':') == colon:
		if host, port = s[:colon], s[colon+1:]; !validPort(port) {
			return "", "", false
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String(), port, addr.Zone() == ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, port, validName(host)
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '+'
}

// validName is true for a host name in ASCII. One whose last label is a number is
// none: resolvers read such a thing as an address, each in its own way.
func validName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	var label string
	for label = range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return strings.Trim(label, "0123456789") != "" && !strings.HasPrefix(label, "0x")
}

// loopback is true for a host that is this machine, whatever a name server says:
// the loopback addresses, and the one name that is always theirs.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// IsLoopback is true when a listen address such as "127.0.0.1:8484" can be reached
// from this machine only. An address without a host is reached from everywhere.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback(strings.ToLower(host))
}

// shorten cuts what came with a request to what a message can bear.
func shorten(s string) string {
	const limit = 100
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
