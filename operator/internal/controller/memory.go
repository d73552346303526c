package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
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

	// What is referred to and was judged: this time, and the time before. What nobody asks
	// for any more is gone with the next time.
	judged, judgedBefore map[string]judgement

	authorities struct{ seen, sum string } // of their contents

	pods map[string]podMemory // by address
}

// podMemory is what is known of a pod.
type podMemory struct {
	stray   time.Time // since when it has other backends than it should, zero when it has not
	nudged  time.Time // when it was last told to read its configuration
	refused string    // why it did not take it then
}

// again begins to plan: what was judged the last time can be taken over.
func (m *remembered) again() {
	m.judgedBefore, m.judged = m.judged, map[string]judgement{}
}

// judgement holds as long as the versions of what was looked at do.
type judgement struct {
	seen    string
	problem *verdict.Problem
}

// applied tells whether an object has to be applied again.
type applied struct {
	desired string // as text
	version string // of the object afterwards
	at      time.Time
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
		g = &remembered{applied: map[string]applied{}, judged: map[string]judgement{}}
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
