package config

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/telemetry"
)

// LoadOptions say where a document gets what is not in it. The zero value is
// useful.
type LoadOptions struct {
	// Env looks a variable up. Default os.LookupEnv. It is called once for each
	// variable that the document names, and not after Load.
	Env func(string) (string, bool)
	// Registry knows the types of credentials. Default auth.NewRegistry().
	Registry *auth.OutgoingAuthRegistry
}

// Document is a configuration that holds: everything in it was checked, and
// every default of this package is filled in. Defaults of an option struct of
// another package are filled in by that package. Documents are not changed after
// Load and are safe to read concurrently.
type Document struct {
	// File is the name under which the document was read.
	File string
	// Listen is the address of the MCP listener.
	Listen string
	// PublicURL is where clients see the gateway; empty when not told.
	PublicURL string
	// AllowedHosts are further hosts of the gateway, as caller.GuardOptions has
	// them.
	AllowedHosts []string
	IncomingAuth caller.Options
	Admin        Admin
	// Credentials are all distinct credentials that backends use, and the named
	// ones that none uses, in the order of the document.
	Credentials []Credential
	// Backends are in the order of the document, those that are switched off
	// included.
	Backends  []Backend
	Catalog   catalog.Options
	Health    health.Options
	Sessions  session.Options // with Max from Limits
	Telemetry telemetry.Options
	Limits    Limits
	// DrainTimeout is how long calls in flight may take when the gateway stops.
	DrainTimeout time.Duration
	Log          Log

	text [sha256.Size]byte

	shown shown
}

// Backend is one entry of mcpServers.
type Backend struct {
	// Name is the key in mcpServers, Slug its form in URLs and public names.
	Name, Slug string
	// Options are complete but for Auth, Trace, Logger and ClientInfo.
	Options backend.Options
	// Selection is what of the backend is served, and under which names.
	Selection catalog.Selection
	// Credential is the Key of one of the document's Credentials; empty: the
	// backend is called without.
	Credential string
	// CommandLine is the command of a process with its arguments, for people: as
	// the document has them, variables not replaced, secrets left out.
	CommandLine string
	// Disabled is true for an entry that is switched off. Nothing else of it but
	// its names is then known.
	Disabled bool
}

// Credential returns the credential of that key.
func (d *Document) Credential(key string) (Credential, bool) {
	for _, c := range d.Credentials {
		if c.Key == key {
			return c, true
		}
	}
	return Credential{}, false
}

// From reports whether the document was read from exactly this text.
func (d *Document) From(text []byte) bool { return d.text == sha256.Sum256(text) }

// Load reads and checks the document in a file. Its error is of type Problems
// and has everything that is wrong, also when the file cannot be read. Warnings
// come with and without an error.
func Load(path string, o LoadOptions) (*Document, []Warning, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, nil, Problems{{File: path, Message: "is a folder", Fix: "name the configuration file in it"}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, Problems{{File: path, Message: fmt.Sprintf("cannot be read: %s", cause(err)), Fix: "check --config"}}
	}
	return Parse(path, data, o)
}

// Parse checks a document that was read already. name stands in messages, and
// relative paths in the document start at its folder. The results are those of
// Load.
func Parse(name string, data []byte, o LoadOptions) (*Document, []Warning, error) {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Registry == nil {
		o.Registry = auth.NewRegistry()
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, nil, Problems{{File: name, Message: "relative paths have no start: " + err.Error()}}
	}
	x := newExpander(o.Env, dir)
	d := &decoder{collector: newCollector(name), x: x, warnings: &warnings{}, registry: o.Registry, secrets: map[*node]bool{}}
	doc := d.document(data)
	if err := d.err(); err != nil {
		return nil, d.warnings.list(), err
	}
	doc.text = sha256.Sum256(data)
	return doc, d.warnings.list(), nil
}

// document reads a text. The result is good only when no problem was found.
func (d *decoder) document(data []byte) *Document {
	root := readTree(data, d.collector)
	if root == nil {
		return nil
	}
	if root.kind != mapping {
		d.add(root.mark, "", "expected a mapping, got "+root.what(), `begin with "mcpServers:"`)
		return nil
	}
	f := defaults()
	d.into(root, "", f)
	d.checkGateway(root, f)
	d.checkSlugs(f.MCPServers)
	d.checkPriority(root, f)
	if m := root.get("mcpServers"); m == nil {
		d.note(root.mark, "mcpServers", "no backend is configured", "add one: mcpServers: {NAME: {url: https://host/path}}")
	} else if len(f.MCPServers) == 0 {
		d.note(m.mark, "mcpServers", "no backend is configured", "add one: NAME: {url: https://host/path}")
	}

	doc := &Document{
		File: d.file, Listen: f.Listen, PublicURL: f.PublicURL, AllowedHosts: f.AllowedHosts,
		IncomingAuth: f.IncomingAuth, Admin: f.Admin, Catalog: f.Catalog, Health: f.Health,
		Sessions: f.Sessions, Telemetry: f.Telemetry, Limits: f.Limits, DrainTimeout: f.DrainTimeout, Log: f.Log,
	}
	doc.Sessions.Max = f.Limits.Sessions
	d.backends(doc, f)
	if d.err() == nil {
		doc.shown = d.show(root, f)
	}
	return doc
}

// backends adds the backends and the credentials to a document.
func (d *decoder) backends(doc *Document, f *file) {
	known := map[string]bool{}
	keep := func(c *credential) {
		if known[c.key] {
			return
		}
		known[c.key] = true
		d.checkCredential(c)
		doc.Credentials = append(doc.Credentials, d.export(c))
	}
	var used []*credential
	for _, s := range f.MCPServers {
		b := Backend{Name: s.key, Slug: s.slug, Disabled: s.disabled}
		if !s.disabled {
			var c *credential
			if !s.entry.isProcess {
				c = d.credentialOf(s, &f.Credentials)
			}
			d.checkServer(s, c)
			b.Options, b.Selection, b.CommandLine = d.options(s, f), s.entry.selection(), s.program.line
			if !d.bad(s.path) {
				d.located(s.value, s.path, s.mark, b.Options.Validate())
			}
			if c != nil {
				c.use = true
				b.Credential = c.key
				used = append(used, c)
			}
		}
		doc.Backends = append(doc.Backends, b)
	}
	for _, name := range f.Credentials.names {
		c := f.Credentials.named[name]
		if c == nil {
			continue
		}
		keep(c)
		if !c.use {
			d.note(c.mark, c.path, "no backend uses this credential", "refer to it with auth: {use: "+name+"}")
		}
	}
	for _, c := range used {
		keep(c)
	}
}
