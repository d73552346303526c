package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// plan is what a gateway is to be.
type plan struct {
	gateway render.Gateway
	// doc is the configuration to be in effect, nil when there is none that could be.
	doc render.Tree
	// refs are what its pods mount.
	refs     render.References
	wanted   []verdict.Wanted
	problems []*verdict.Problem
}

func (p *plan) blame(reason, format string, args ...any) {
	p.problems = append(p.problems, &verdict.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// plan makes the configuration of a gateway of what holds. What does not hold is left out
// and told, or stays as it was: a wrong spec never takes the place of one that works.
func (r *Gateways) plan(ctx context.Context, g *v1alpha1.VirtualMCPServer, backends []selected) (*plan, error) {
	p := &plan{gateway: render.Gateway{Resource: g, Credentials: map[string]render.Tree{}, Backends: map[string]render.Tree{}, Options: r.Options}}
	r.memory.of(client.ObjectKeyFromObject(g)).again()
	before, err := r.inEffect(ctx, g)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *plan, render.Tree) error{r.tokens, r.credentials} {
		if err := step(ctx, p, before); err != nil {
			return nil, err
		}
	}
	if err := r.entries(ctx, p, before, backends); err != nil {
		return nil, err
	}
	p.doc = render.Document(p.gateway)
	if text := render.YAML(p.doc); before == nil || text != render.YAML(before) {
		if err := render.Check(p.doc, nil); err != nil {
			p.blame(verdict.ReasonConfigurationRefused, "The gateway would refuse the spec: %v.", err)
			// Each backend was judged before: it is the gateway's own sections that are wrong.
			if p.doc = render.WithBackendsOf(before, p.doc); p.doc != nil && render.Check(p.doc, nil) != nil {
				p.doc = before
			}
			p.settle()
		}
	}
	if p.doc != nil {
		used := render.ReferencesOf(p.doc)
		p.refs.Add(used)
		if p.gateway.Authorities, err = r.authorities(ctx, g, used); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// authorities is a text that changes with the authorities that a gateway trusts.
func (r *Gateways) authorities(ctx context.Context, g *v1alpha1.VirtualMCPServer, used render.References) (string, error) {
	if len(used.ConfigMaps) == 0 {
		return "", nil
	}
	used.Secrets = nil
	seen, err := r.resolver.versions(ctx, objects(g.Namespace, used, nil))
	if err != nil {
		return "", err
	}
	seen = fmt.Sprint(used.ConfigMaps, seen)
	m := r.memory.of(client.ObjectKeyFromObject(g))
	if m.authorities.seen == seen {
		return m.authorities.sum, nil
	}
	held, problem, err := r.resolver.fetch(ctx, g.Namespace, used)
	if err != nil || problem != nil {
		return m.authorities.sum, err
	}
	hash := sha256.New()
	for _, ref := range used.ConfigMaps {
		text, _ := held.configMap(ref)
		fmt.Fprintf(hash, "%s/%s %d %s", ref.Name, ref.Key, len(text), text)
	}
	m.authorities.seen, m.authorities.sum = seen, hex.EncodeToString(hash.Sum(nil)[:8])
	return m.authorities.sum, nil
}

// settle has what is wanted say what of it is in effect, after a document was refused as
// a whole.
func (p *plan) settle() {
	entries := render.Entries(p.doc, "mcpServers")
	for i := range p.wanted {
		p.wanted[i].InEffect = entries[p.wanted[i].Name] != nil
	}
}

// inEffect is the configuration that the gateway has now, nil when it has none. One that
// somebody else has put there, and that does not hold, is none.
func (r *Gateways) inEffect(ctx context.Context, g *v1alpha1.VirtualMCPServer) (render.Tree, error) {
	m := r.memory.of(client.ObjectKeyFromObject(g))
	if m.doc != nil {
		return m.doc, nil
	}
	key := types.NamespacedName{Namespace: g.Namespace, Name: render.ObjectName(g.Name)}
	data, err := r.resolver.data(ctx, configMapKind, key)
	if err != nil || data == nil {
		return nil, err
	}
	doc, err := render.Read(string(data[render.ConfigFile]))
	if err != nil || render.Check(doc, nil) != nil {
		return nil, nil //nolint:nilerr // a text that is no configuration is none
	}
	return doc, nil
}

// tokens chooses the tokens of callers.
func (r *Gateways) tokens(ctx context.Context, p *plan, _ render.Tree) error {
	g := p.gateway.Resource
	if g.Spec.IncomingAuth == nil || len(g.Spec.IncomingAuth.Tokens) == 0 {
		return nil
	}
	p.gateway.Tokens = []v1alpha1.IncomingToken{} // not nil: that would be the operator's own
	for _, t := range g.Spec.IncomingAuth.Tokens {
		if t.SecretKeyRef != nil {
			refs := render.References{Secrets: []v1alpha1.SecretKeyRef{*t.SecretKeyRef}}
			p.refs.Add(refs)
			problem, err := r.judged(ctx, g, "token "+t.SecretKeyRef.Name+"/"+t.SecretKeyRef.Key, refs, func(l lookup) *verdict.Problem {
				text, _ := l.secret(*t.SecretKeyRef)
				if err := render.CheckToken(text); err != nil {
					return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused,
						Message: fmt.Sprintf("Key %q of Secret %q %v.", t.SecretKeyRef.Key, t.SecretKeyRef.Name, err)}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if problem != nil {
				p.blame(problem.Reason, "spec.incomingAuth.tokens: %s", problem.Message)
				continue
			}
		}
		p.gateway.Tokens = append(p.gateway.Tokens, t)
	}
	return nil
}

// credentials chooses the shared credentials.
func (r *Gateways) credentials(ctx context.Context, p *plan, before render.Tree) error {
	g := p.gateway.Resource
	former := render.Entries(before, "credentials")
	for name, c := range g.Spec.Credentials {
		tree := render.Credential(c)
		refs := render.ReferencesOf(tree)
		p.refs.Add(refs)
		problem, err := r.judged(ctx, g, "credential "+render.YAML(tree), refs, func(l lookup) *verdict.Problem {
			if err := render.CheckCredential(name, tree, l.secret); err != nil {
				return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused, Message: err.Error() + "."}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if problem == nil {
			p.gateway.Credentials[name] = tree
			continue
		}
		p.blame(problem.Reason, "spec.credentials.%s: %s", name, problem.Message)
		if ok, err := r.holds(ctx, g, former[name]); err != nil {
			return err
		} else if ok {
			p.gateway.Credentials[name] = former[name]
		}
	}
	return nil
}

// entries chooses the entries of the backends.
func (r *Gateways) entries(ctx context.Context, p *plan, before render.Tree, backends []selected) error {
	former := render.Entries(before, "mcpServers")
	for _, s := range backends {
		w := verdict.Wanted{Name: s.name, Problem: s.problem}
		if s.problem == nil {
			res, err := r.resolver.backend(ctx, s.resource)
			if err != nil {
				return err
			}
			p.refs.Add(res.refs)
			if w.Problem = res.problem; w.Problem == nil {
				w.Problem = p.shared(s.resource, res.entry)
			}
			entry := res.entry
			if w.Problem != nil {
				entry = former[s.name]
				ok, err := r.holds(ctx, p.gateway.Resource, entry)
				if err != nil {
					return err
				}
				if !ok || !p.has(entry) {
					entry = nil
				}
			}
			if w.InEffect = entry != nil; w.InEffect {
				p.gateway.Backends[s.name] = entry
			}
		}
		p.wanted = append(p.wanted, w)
	}
	return nil
}

// uses is the shared credential of an entry, "" for none.
func uses(entry render.Tree) string {
	auth, _ := entry["auth"].(render.Tree)
	name, _ := auth["use"].(string)
	return name
}

// has reports whether the shared credential of an entry is there.
func (p *plan) has(entry render.Tree) bool {
	name := uses(entry)
	return name == "" || p.gateway.Credentials[name] != nil
}

// shared judges an entry with the shared credential that it uses.
func (p *plan) shared(b *v1alpha1.MCPBackend, entry render.Tree) *verdict.Problem {
	name := uses(entry)
	if name == "" {
		return nil
	}
	if !p.has(entry) {
		return &verdict.Problem{Reason: verdict.ReasonCredentialNotFound,
			Message: fmt.Sprintf("auth.use names %q, which is no usable credential of VirtualMCPServer %s: add it to spec.credentials there.", name, p.gateway.Resource.Name)}
	}
	if err := render.CheckBackend(b.Name, entry, p.gateway.Credentials, nil); err != nil {
		return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused, Message: "The gateway would refuse the spec: " + err.Error() + "."}
	}
	return nil
}

// holds reports whether everything is there that an entry of a document refers to.
func (r *Gateways) holds(ctx context.Context, g *v1alpha1.VirtualMCPServer, entry render.Tree) (bool, error) {
	if entry == nil {
		return false, nil
	}
	problem, err := r.judged(ctx, g, "entry "+render.YAML(entry), render.ReferencesOf(entry), func(lookup) *verdict.Problem { return nil })
	return problem == nil, err
}

// judged fetches what is referred to and has it judged, unless that was done and nothing
// has changed since. what tells it from others of the gateway.
func (r *Gateways) judged(ctx context.Context, g *v1alpha1.VirtualMCPServer, what string, refs render.References, judge func(lookup) *verdict.Problem) (*verdict.Problem, error) {
	seen, err := r.resolver.versions(ctx, objects(g.Namespace, refs, nil))
	if err != nil {
		return nil, err
	}
	m := r.memory.of(client.ObjectKeyFromObject(g))
	if j, ok := m.judgedBefore[what]; ok && j.seen == seen {
		m.judged[what] = j
		return j.problem, nil
	}
	held, problem, err := r.resolver.fetch(ctx, g.Namespace, refs)
	if err != nil {
		return nil, err
	}
	if problem == nil {
		problem = judge(held)
	}
	m.judged[what] = judgement{seen, problem}
	return problem, nil
}
