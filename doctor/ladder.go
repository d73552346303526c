package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/config"
)

// DefaultTimeout bounds one rung.
const DefaultTimeout = 10 * time.Second

// Options of an examination. The zero value is useful.
type Options struct {
	// Registry knows the types of credentials. Default auth.NewRegistry().
	Registry *auth.OutgoingAuthRegistry
	// Timeout bounds one rung. Default DefaultTimeout.
	Timeout time.Duration
	// Lookup finds the addresses of a host. Default: the resolver of the machine.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Version is how the examination introduces itself.
	Version string
}

// step is a rung that is still to be climbed.
type step struct {
	name  string
	climb func(context.Context) (evidence string, b *broken)
}

// broken is why a rung does not hold.
type broken struct {
	fault         Fault
	evidence, fix string
}

func breaks(f Fault, fix, evidence string, args ...any) (string, *broken) {
	return "", &broken{f, fmt.Sprintf(evidence, args...), fix}
}

// patient is a backend under examination, with what was found out so far.
type patient struct {
	doc *config.Document
	b   *config.Backend
	o   Options

	url       *url.URL
	transport *http.Transport
	direct    bool // no proxy is between
	challenge *auth.Challenge
	meta      *metadata
	open      bool // it answers without a credential
	source    *auth.Source
	origin    string // where a given credential is kept, for fixes
	claims    *claims
	client    *backend.Client
}

// Examine climbs the ladder of one backend of a document.
func Examine(ctx context.Context, doc *config.Document, b config.Backend, o Options) Report {
	o.Registry = cmp.Or(o.Registry, auth.NewRegistry())
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Version = cmp.Or(o.Version, "dev")
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupHost
	}
	p := &patient{doc: doc, b: &b, o: o}
	defer p.close()
	steps := []step{{"configuration", p.configuration}}
	switch {
	case b.Disabled:
	case b.Options.Command != "":
		steps = append(steps, step{"command", p.command}, step{"start", p.start}, step{"tools", p.tools})
	default:
		steps = append(steps, step{"dns", p.dns}, step{"tcp", p.tcp}, step{"tls", p.tls}, step{"challenge", p.ask},
			step{"credential", p.credential}, step{"call", p.call}, step{"tools", p.tools})
	}
	return climb(ctx, b.Name, steps, o.Timeout)
}

// climb takes one step after the other, until one breaks.
func climb(ctx context.Context, name string, steps []step, limit time.Duration) Report {
	r := Report{Backend: name}
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	for i, s := range steps {
		rung, cancel := context.WithTimeout(ctx, limit)
		evidence, b := s.climb(rung)
		cancel()
		if b == nil {
			if evidence != "" { // else there was nothing to do
				r.Rungs = append(r.Rungs, Rung{Name: s.name, OK: true, Evidence: evidence})
			}
			continue
		}
		r.Fault = b.fault
		r.Rungs = append(r.Rungs, Rung{Name: s.name, Evidence: b.evidence, Fix: b.fix})
		for _, above := range steps[i+1:] {
			r.NotReached = append(r.NotReached, above.name)
		}
		break
	}
	return r
}

// configuration holds: a document with mistakes does not get here.
func (p *patient) configuration(context.Context) (string, *broken) {
	if p.b.Disabled {
		return breaks(Configuration, "To use it, remove disabled from "+p.key("")+".", "It is switched off.")
	}
	if p.b.Options.Command != "" {
		return fmt.Sprintf("%s: the process %s", p.doc.File, p.b.CommandLine), nil
	}
	u, err := url.Parse(p.b.Options.URL)
	if err != nil {
		return breaks(Configuration, "Correct "+p.key("url")+".", "Its URL cannot be read.")
	}
	p.url = u
	return fmt.Sprintf("%s: %s", p.doc.File, p.b.Options.URL), nil
}

// key names a setting of the backend.
func (p *patient) key(setting string) string {
	if setting == "" {
		return "mcpServers." + p.b.Name
	}
	return "mcpServers." + p.b.Name + "." + setting
}

func (p *patient) close() {
	if p.client != nil {
		_ = p.client.Close()
	}
	if p.source != nil {
		p.source.Close()
	}
	if p.transport != nil {
		p.transport.CloseIdleConnections()
	}
}
