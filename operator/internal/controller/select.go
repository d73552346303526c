package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// selected is a backend that a gateway takes in.
type selected struct {
	name     string
	resource *v1alpha1.MCPBackend // nil: there is none
	problem  *verdict.Problem
}

// takesIn reports whether a gateway takes in a backend with this name and these labels.
func takesIn(g *v1alpha1.VirtualMCPServer, name string, set map[string]string) (bool, error) {
	if slices.Contains(g.Spec.Backends, v1alpha1.BackendRef{Name: name}) {
		return true, nil
	}
	if g.Spec.BackendSelector == nil {
		return false, nil
	}
	s, err := metav1.LabelSelectorAsSelector(g.Spec.BackendSelector)
	if err != nil {
		return false, err
	}
	return s.Matches(labels.Set(set)), nil
}

// selectBackends finds the backends of a gateway, by name. The names of tools of two
// backends must not be mixed up: of two whose names come to the same, the elder is taken.
func selectBackends(ctx context.Context, c client.Reader, g *v1alpha1.VirtualMCPServer) ([]selected, *verdict.Problem, error) {
	var all v1alpha1.MCPBackendList
	if err := c.List(ctx, &all, client.InNamespace(g.Namespace)); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(all.Items, func(a, b v1alpha1.MCPBackend) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var problem *verdict.Problem
	var out []selected
	slugs := map[string]string{}
	names := map[string]bool{}
	for i := range all.Items {
		b := &all.Items[i]
		in, err := takesIn(g, b.Name, b.Labels)
		if err != nil && problem == nil {
			problem = &verdict.Problem{Reason: verdict.ReasonConfigurationRefused,
				Message: fmt.Sprintf("spec.backendSelector is no selector: %v: correct it.", err)}
		}
		if !in || !b.DeletionTimestamp.IsZero() {
			continue
		}
		s := selected{name: b.Name, resource: b}
		slug := config.Slug(b.Name)
		if other, taken := slugs[slug]; taken {
			s.problem = &verdict.Problem{Reason: verdict.ReasonNameTaken,
				Message: fmt.Sprintf("In names of tools it would be called %q, and so is MCPBackend %q, which is elder: give it another name.", slug, other)}
		} else {
			slugs[slug] = b.Name
		}
		names[b.Name] = true
		out = append(out, s)
	}
	for _, ref := range g.Spec.Backends {
		if !names[ref.Name] {
			out = append(out, selected{name: ref.Name, problem: &verdict.Problem{Reason: verdict.ReasonBackendNotFound,
				Message: fmt.Sprintf("There is no MCPBackend %q in namespace %s: create it, or take it out of spec.backends.", ref.Name, g.Namespace)}})
		}
	}
	slices.SortFunc(out, func(a, b selected) int { return strings.Compare(a.name, b.name) })
	return out, problem, nil
}
