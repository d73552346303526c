package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/doctor"
	"github.com/recloser-mcp/recloser/status"
)

// examinedAtOnce bounds how many backends are examined at the same time.
const examinedAtOnce = 32

// compareLimit bounds the question to a gateway that may not be there.
const compareLimit = 3 * time.Second

func newDoctor() *cobra.Command {
	var (
		at     = access{examines: true}
		asJSON bool
		limit  time.Duration
	)
	c := &cobra.Command{
		Use:   "doctor [BACKEND]",
		Short: "Find out why a backend does not work: the first thing that is broken, and what mends it",
		Long: "Climbs a ladder for each backend, or for the one that is named, and stops at the first broken rung, with\n" +
			"the evidence and the fix: configuration, variables, DNS, TCP, TLS, challenge, credential, call, tools; for\n" +
			"a process its command, its start, its tools. No tool is called, and values of credentials are not shown.\n\n" +
			"The configuration is that of --config, else the one that the running gateway names. Where a gateway runs,\n" +
			"what it says of the backend is shown as well. Variables are those of this shell: those of the gateway may\n" +
			"differ.\n\n" +
			"The gateway is asked at the address of --admin, else that of the variable RECLOSER_ADMIN, else that of\n" +
			"the configuration.\n\n" +
			"Exit codes, of the first backend that is not sound: 2 for the configuration and its variables, 4 when\n" +
			"there is no MCP server, 3 for its credential, 1 when it serves nothing.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d := &examination{screen: newScreen(c.OutOrStdout()), json: asJSON, limit: limit}
			if len(args) > 0 {
				d.only = args[0]
			}
			return d.run(c.Context(), &at, c.ErrOrStderr())
		},
	}
	at.flags(c)
	c.Flags().Lookup("config").Usage = "the configuration to examine"
	c.Flags().DurationVar(&limit, "timeout", doctor.DefaultTimeout, "the longest time for one rung")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// examination is one run of doctor.
type examination struct {
	*screen
	only  string // one backend; empty: all
	json  bool
	limit time.Duration // of one rung
}

func (d *examination) run(ctx context.Context, at *access, errOut io.Writer) error {
	file, err := d.document(ctx, at)
	if err != nil {
		return err
	}
	doc, _, err := config.Load(file, config.LoadOptions{Env: os.LookupEnv})
	var problems config.Problems
	if errors.As(err, &problems) {
		return d.print([]doctor.Report{misread(file, d.only, problems)})
	}
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
	}
	backends, err := d.chosen(doc)
	if err != nil {
		return err
	}
	said := make(chan opinion, 1)
	go func() { said <- ask(ctx, at, doc) }()
	reports := d.examine(ctx, doc, backends)
	o := <-said
	for i := range reports {
		if b, ok := o.backends[reports[i].Backend]; ok {
			reports[i].Compare(b)
		}
	}
	if o.other {
		_, _ = fmt.Fprintf(errOut, "recloser: the gateway at %s has another configuration in effect than %s: `recloser reload` takes up a changed file\n", o.url, file)
	}
	return d.print(reports)
}

// document finds the configuration: the one that is named, or that of the gateway.
func (d *examination) document(ctx context.Context, at *access) (string, error) {
	if at.file != "" {
		return at.file, nil
	}
	client, err := at.client()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	loaded, err := client.Config(ctx)
	if err != nil {
		err = refused(err)
		if e := (*exitError)(nil); errors.As(err, &e) && e.code == exitUnreachable {
			return "", &exitError{exitUsage, fmt.Errorf("recloser: say with --config FILE which configuration is meant: no gateway answers at %s that could", client.URL)}
		}
		return "", err
	}
	if _, err := os.Stat(loaded.File); err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("recloser: the configuration of the gateway is %s, which is not here: name it with --config FILE.\n"+
			"What the gateway knows itself shows `recloser status NAME`", printable(loaded.File))}
	}
	return loaded.File, nil
}

func (d *examination) chosen(doc *config.Document) ([]config.Backend, error) {
	var names []string
	for _, b := range doc.Backends {
		if b.Name == d.only {
			return []config.Backend{b}, nil
		}
		names = append(names, b.Name)
	}
	if d.only != "" {
		return nil, noSuchBackend(d.only, names)
	}
	return doc.Backends, nil
}

// opinion is what a running gateway says.
type opinion struct {
	url      string
	backends map[string]status.Backend
	other    bool // its configuration is not the one at hand
}

// ask asks a gateway, if there is one: what was seen here counts without it.
func ask(ctx context.Context, at *access, doc *config.Document) (o opinion) {
	client, err := at.clientFor(doc)
	if err != nil {
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, compareLimit)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil {
		return o
	}
	o.url, o.backends = client.URL, map[string]status.Backend{}
	for _, b := range st.Backends {
		o.backends[b.Name] = b
	}
	if loaded, err := client.Config(ctx); err == nil {
		o.other = loaded.Config != "" && loaded.Config != doc.YAML()
	}
	return o
}

// examine looks at several backends at once: one that hangs delays no other.
func (d *examination) examine(ctx context.Context, doc *config.Document, backends []config.Backend) []doctor.Report {
	reports := make([]doctor.Report, len(backends))
	room := make(chan struct{}, examinedAtOnce)
	var all sync.WaitGroup
	for i, b := range backends {
		if b.Disabled && d.only == "" {
			reports[i] = doctor.Report{Backend: b.Name}
			continue
		}
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			reports[i] = doctor.Examine(ctx, doc, b, doctor.Options{Version: version, Timeout: d.limit})
		})
	}
	all.Wait()
	return reports
}

// misread is the report about a document that cannot be examined any further.
func misread(file, only string, problems config.Problems) doctor.Report {
	r := doctor.Report{Backend: only, Fault: doctor.Configuration}
	rung := doctor.Rung{Name: "variables"}
	var lines, fixes []string
	elsewhere := 0
	for _, p := range problems {
		if own := "mcpServers." + only; only != "" && strings.HasPrefix(p.Path, "mcpServers.") && p.Path != own && !strings.HasPrefix(p.Path, own+".") {
			elsewhere++
			continue
		}
		if !p.Outside {
			rung.Name = "configuration"
		}
		fix := p.Fix
		p.Fix = ""
		lines = append(lines, p.String())
		fixes = append(fixes, fix)
	}
	if len(lines) == 0 {
		rung.Name = "configuration"
		lines = append(lines, fmt.Sprintf("%s has %s in other backends", file, count(elsewhere, "mistake")))
		fixes = append(fixes, "Correct them first: see `recloser validate --config "+file+"`")
		elsewhere = 0
	}
	rung.Evidence = strings.Join(lines, "\n")
	rung.Fix = strings.Join(fixes, "\n")
	if rung.Name == "variables" {
		rung.Fix += "\nIf the gateway has them, run this where it has: the variables of this shell are meant here"
	} else {
		r.NotReached = append(r.NotReached, "variables")
	}
	if elsewhere > 0 {
		rung.Evidence += fmt.Sprintf("\nand %s in other backends", count(elsewhere, "mistake"))
	}
	r.Rungs = []doctor.Rung{rung}
	return r
}

// print shows the reports. Its error has the exit code of the first that is not
// sound.
func (d *examination) print(reports []doctor.Report) error {
	if d.json {
		e := json.NewEncoder(d)
		e.SetIndent("", "  ")
		if err := e.Encode(reports); err != nil {
			return err
		}
	} else {
		var b strings.Builder
		for i := range reports {
			d.report(&b, &reports[i])
		}
		if _, err := io.WriteString(d, b.String()); err != nil {
			return err
		}
	}
	for _, r := range reports {
		if r.Fault != doctor.Sound {
			return &exitError{code: faultCodes[r.Fault]}
		}
	}
	return nil
}

var faultCodes = map[doctor.Fault]int{
	doctor.Configuration: exitUsage, doctor.Authentication: exitAuthentication, doctor.Unreachable: exitUnreachable, doctor.Other: exitFailed,
}

// report shows a sound backend on a line, and of another one every rung up to the
// broken one.
func (d *examination) report(b *strings.Builder, r *doctor.Report) {
	name := r.Backend
	if name == "" {
		name = "the configuration"
	}
	switch bad := r.Broken(); {
	case len(r.Rungs) == 0:
		fmt.Fprintf(b, "%s %s: disabled\n", d.paint(faint, "○"), printable(name))
		return
	case bad == nil && d.only == "":
		fmt.Fprintf(b, "%s %s: sound, %s\n", d.paint(green, "●"), printable(name), printable(r.Rungs[len(r.Rungs)-1].Evidence))
	case bad == nil:
		fmt.Fprintf(b, "%s %s: sound\n", d.paint(green, "●"), d.paint(bold, printable(name)))
		d.rungs(b, r.Rungs)
	default:
		fmt.Fprintf(b, "%s %s: broken at %s\n", d.paint(red, "✗"), d.paint(bold, printable(name)), bad.Name)
		d.rungs(b, r.Rungs)
		for _, fix := range strings.Split(bad.Fix, "\n") {
			if fix != "" {
				d.hanging(b, d.paint(bold, "    fix           "), 18, printable(fix))
			}
		}
		if len(r.NotReached) > 0 {
			d.hanging(b, d.paint(faint, "    not reached   "), 18, strings.Join(r.NotReached, ", "))
		}
	}
	if g := r.Gateway; g != nil {
		d.hanging(b, d.paint(faint, "    the gateway   "), 18, fmt.Sprintf("says %s / %s since %s: %s", g.Status, printable(string(g.Reason)), g.Since.Format(time.RFC3339), printable(g.Message)))
	}
}

func (d *examination) rungs(b *strings.Builder, rungs []doctor.Rung) {
	for _, r := range rungs {
		mark, color := "✓", green
		if !r.OK {
			mark, color = "✗", red
		}
		for i, line := range strings.Split(r.Evidence, "\n") {
			label := fmt.Sprintf("%s %-13s", d.paint(color, mark), r.Name)
			if i > 0 {
				label = strings.Repeat(" ", 15)
			}
			d.hanging(b, "  "+label+" ", 18, printable(line))
		}
	}
}
