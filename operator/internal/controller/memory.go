package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

// memory holds what the operator remembers of its gateways. All of it can be found again
// after a restart.
type memory struct {
	mu       sync.Mutex
	gateways map[types.NamespacedName]*remembered
}

// remembered is what is known of one gateway. It is used by one reconciliation at a time.
type remembered struct {
	applied map[string]applied // by kind and name
	doc     render.Tree        // the configuration that was applied last
	since   time.Time          // when that was

	adminToken auth.Secret

	nudged map[string]time.Time // by address: when it was last told to read its configuration
	strays map[string]time.Time // by address: since when it has other backends than it should
}

// applied tells whether an object has to be applied again.
type applied struct {
	desired string // as text
	version string // of the object afterwards
}

// of returns what is known of a gateway.
func (m *memory) of(key types.NamespacedName) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gateways == nil {
		m.gateways = map[types.NamespacedName]*remembered{}
	}
	g := m.gateways[key]
	if g == nil {
		g = &remembered{applied: map[string]applied{}, nudged: map[string]time.Time{}, strays: map[string]time.Time{}}
		m.gateways[key] = g
	}
	return g
}

// forget drops a gateway.
func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.gateways, key)
}
