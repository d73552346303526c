package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Phase is the state of a gateway in a word.
//
// +kubebuilder:validation:Enum=Pending;Ready;Degraded;Failed
type Phase string

// The phases.
const (
	PhasePending  Phase = "Pending"  // no pod serves yet, or backends have not been asked yet
	PhaseReady    Phase = "Ready"    // every backend is ready
	PhaseDegraded Phase = "Degraded" // some are not
	PhaseFailed   Phase = "Failed"   // no tool is served, or no pod starts
)

// BackendState is the state of a backend in a word.
//
// +kubebuilder:validation:Enum=ready;degraded;unavailable;unknown
type BackendState string

// The states of a backend.
const (
	BackendReady       BackendState = "ready"       // all replicas of the gateway say so
	BackendDegraded    BackendState = "degraded"    // it serves, but something about it is wrong, or the replicas do not agree
	BackendUnavailable BackendState = "unavailable" // calls to it fail
	BackendUnknown     BackendState = "unknown"     // it was not asked yet, or it is disabled
)

// The types of conditions.
const (
	// ConditionReady of a gateway: its Deployment is available and a tool is served. Of a
	// backend: every gateway that has it says that it is ready.
	ConditionReady = "Ready"
	// ConditionDegraded of a gateway: a backend is not ready.
	ConditionDegraded = "Degraded"
	// ConditionBackendsDiscovered of a gateway: there are backends, and each that is named
	// exists.
	ConditionBackendsDiscovered = "BackendsDiscovered"
	// ConditionAccepted: the spec, and what it refers to, can be put into effect. While it
	// is False, what was last in effect goes on.
	ConditionAccepted = "Accepted"
)

// VirtualMCPServerStatus is how a gateway and its backends are.
type VirtualMCPServerStatus struct {
	// The generation of the spec that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Pending until pods serve and every backend was asked, Ready when all are ready,
	// Degraded when some are not, Failed when no tool is served.
	//
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// Where clients reach the gateway.
	//
	// +optional
	URL string `json:"url,omitempty"`
	// The Secret with the token that the operator has made for clients, in the key token.
	// Empty when the spec names tokens.
	//
	// +optional
	TokenSecret string `json:"tokenSecret,omitempty"`
	// How many backends there are, those that are disabled left out.
	BackendCount int32 `json:"backendCount"`
	// How many of them are ready.
	ReadyBackends int32 `json:"readyBackends"`
	// The two before it as text: 1/2.
	//
	// +optional
	ReadyOfAll string `json:"readyOfAll,omitempty"`
	// How many tools every pod of the gateway serves.
	Tools int32 `json:"tools"`
	// How many pods the gateway has.
	Replicas int32 `json:"replicas"`
	// Selects the pods, for the scale subresource.
	//
	// +optional
	Selector string `json:"selector,omitempty"`
	// Ready, Degraded, BackendsDiscovered and Accepted.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// The backends, by name.
	//
	// +listType=map
	// +listMapKey=name
	// +optional
	Backends []BackendStatus `json:"backends,omitempty"`
}

// BackendStatus is what a gateway sees of one backend, merged over its pods.
type BackendStatus struct {
	// The name of the MCPBackend.
	Name string `json:"name"`
	// ready, degraded, unavailable or unknown.
	Status BackendState `json:"status"`
	// Why, as a stable code.
	Reason string `json:"reason"`
	// Why, in words, with the evidence.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Since when it is in this state.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// How many tools it lists.
	Tools int32 `json:"tools"`
	// The state of the breaker towards it: closed, open or half_open.
	//
	// +optional
	Breaker string `json:"breaker,omitempty"`
}

// MCPBackendStatus is what the gateways see of a backend.
type MCPBackendStatus struct {
	// The generation of the spec that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// The address that gateways call.
	//
	// +optional
	URL string `json:"url,omitempty"`
	// How many gateways have taken the backend in.
	GatewayCount int32 `json:"gatewayCount"`
	// Accepted and Ready.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// What each gateway sees of it.
	//
	// +listType=map
	// +listMapKey=name
	// +optional
	Gateways []GatewayView `json:"gateways,omitempty"`
}

// GatewayView is what one gateway sees of a backend.
type GatewayView struct {
	// The name of the VirtualMCPServer.
	Name string `json:"name"`
	// ready, degraded, unavailable or unknown.
	Status BackendState `json:"status"`
	// Why, as a stable code.
	Reason string `json:"reason"`
	// Why, in words, with the evidence.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Since when it is in this state.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// How many tools it lists.
	Tools int32 `json:"tools"`
}
