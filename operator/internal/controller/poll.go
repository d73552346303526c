package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
	"github.com/recloser-mcp/recloser/status"
)

const (
	// askFor bounds one request to a pod.
	askFor = 3 * time.Second
	// askAtOnce is how many pods are asked at the same time, of all gateways together.
	askAtOnce = 16
	// strayFor is how long a pod may have other backends than it should before it is told to
	// read its configuration again. Kubernetes takes a minute or so to bring it there.
	strayFor = 15 * time.Second
	// lateFor is how long after a change every pod is told once more: a mounted Secret may
	// have come later than the configuration that needs it.
	lateFor = 100 * time.Second
)

// poller asks the pods of gateways at their admin listeners.
type poller struct {
	reader client.Reader
	http   *http.Client
	slots  chan struct{}
}

func newPoller(reader client.Reader, dial func(ctx context.Context, network, address string) (net.Conn, error)) *poller {
	if dial == nil {
		dial = (&net.Dialer{Timeout: askFor}).DialContext
	}
	return &poller{reader: reader, slots: make(chan struct{}, askAtOnce), http: &http.Client{
		// Pods are asked directly; connections are kept from one poll to the next.
		Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: 1, MaxIdleConns: 1000, IdleConnTimeout: time.Minute,
		},
		Timeout: askFor,
	}}
}

// endpoint is a pod of a gateway.
type endpoint struct {
	pod, address string
	serving      bool
}

// endpoints finds the pods that have an address, those that do not serve included: what
// they say is why. Pods that are ending are left out.
func (p *poller) endpoints(ctx context.Context, g *v1alpha1.VirtualMCPServer) ([]endpoint, error) {
	var found discoveryv1.EndpointSliceList
	if err := p.reader.List(ctx, &found, client.InNamespace(g.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: render.ObjectName(g.Name)}); err != nil {
		return nil, err
	}
	byPod := map[string]endpoint{}
	for _, s := range found.Items {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, e := range s.Endpoints {
			if len(e.Addresses) == 0 || e.Conditions.Terminating != nil && *e.Conditions.Terminating {
				continue
			}
			at := endpoint{pod: e.Addresses[0], address: e.Addresses[0], serving: e.Conditions.Ready != nil && *e.Conditions.Ready}
			if e.TargetRef != nil {
				at.pod = e.TargetRef.Name
			}
			if _, known := byPod[at.pod]; !known { // a pod of two families is in two slices
				byPod[at.pod] = at
			}
		}
	}
	var out []endpoint
	for _, e := range byPod {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b endpoint) int { return cmp.Compare(a.pod, b.pod) })
	return out, nil
}

// replicas asks every pod how it and its backends are.
func (p *poller) replicas(ctx context.Context, g *v1alpha1.VirtualMCPServer, m *remembered) ([]verdict.Replica, error) {
	pods, err := p.endpoints(ctx, g)
	if err != nil {
		return nil, err
	}
	out := make([]verdict.Replica, len(pods))
	var wg sync.WaitGroup
	for i, e := range pods {
		out[i] = verdict.Replica{Name: e.pod, Serving: e.serving}
		wg.Go(func() {
			p.slots <- struct{}{}
			defer func() { <-p.slots }()
			out[i].Status = p.ask(ctx, e, m.adminToken)
		})
	}
	wg.Wait()
	p.nudge(ctx, pods, out, m)
	return out, nil
}

func (p *poller) client(e endpoint, token auth.Secret) *admin.Client {
	return &admin.Client{URL: "http://" + net.JoinHostPort(e.address, strconv.Itoa(render.AdminPort)), Token: token, HTTPClient: p.http}
}

// ask returns nil when there is no answer.
func (p *poller) ask(ctx context.Context, e endpoint, token auth.Secret) *status.Status {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	s, err := p.client(e, token).Status(ctx)
	if err != nil {
		polls.WithLabelValues("failed").Inc()
		return nil
	}
	polls.WithLabelValues("answered").Inc()
	return s
}

// nudge has pods read their configuration again that should have by now. What they find
// wrong with it is a part of the answer until they take it.
func (p *poller) nudge(ctx context.Context, pods []endpoint, replicas []verdict.Replica, m *remembered) {
	if m.doc == nil {
		return
	}
	now := time.Now()
	known := m.pods
	m.pods = map[string]podMemory{} // without those that are no more
	for i, e := range pods {
		is := known[e.address]
		if s := replicas[i].Status; s != nil {
			switch {
			case !strayed(m.doc, s):
				is.stray = time.Time{}
			case is.stray.IsZero():
				is.stray = now
			}
			late := !m.since.IsZero() && now.Sub(m.since) > lateFor && !is.nudged.After(m.since)
			again := now.Sub(is.nudged) > strayFor && (is.refused != "" || !is.stray.IsZero() && now.Sub(is.stray) > strayFor)
			if late || again {
				is.nudged, is.refused = now, p.reload(ctx, e, m.adminToken)
			}
			replicas[i].Refused = is.refused
		}
		m.pods[e.address] = is
	}
}

// reload has a pod read its configuration. It returns why the pod refuses it.
func (p *poller) reload(ctx context.Context, e endpoint, token auth.Secret) string {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, err := p.client(e, token).Reload(ctx)
	return refusal(err)
}

// strayed reports whether a pod has other backends than the document.
func strayed(doc render.Tree, s *status.Status) bool {
	want := render.Entries(doc, "mcpServers")
	if len(want) != len(s.Backends) {
		return true
	}
	return slices.ContainsFunc(s.Backends, func(b status.Backend) bool { return want[b.Name] == nil })
}

// refusal is why a configuration was refused, "" when it was not.
func refusal(err error) string {
	var e *admin.Error
	if !errors.As(err, &e) || e.Kind != admin.Refused {
		return ""
	}
	var parts []string
	for _, p := range e.Problems {
		parts = append(parts, fmt.Sprintf("%s %s: %s", p.Path, p.Message, p.Fix))
	}
	return cmp.Or(strings.Join(parts, "; "), e.Message)
}
