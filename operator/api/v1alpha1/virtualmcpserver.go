package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VirtualMCPServer is a gateway: one MCP endpoint in front of the MCPBackends that it
// takes in.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=vmcp,categories=recloser
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.readyOfAll`,description="backends that are ready, of all"
// +kubebuilder:printcolumn:name="Tools",type=integer,JSONPath=`.status.tools`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 50",message="the name becomes a part of the names of a Service and a Deployment: use at most 50 lower case letters, digits and -"
type VirtualMCPServer struct {
	metav1.TypeMeta `json:",inline"`
	// Standard metadata. The Deployment, the Service and whatever else the gateway needs are
	// called vmcp-NAME.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`
	// Which backends the gateway serves, how it serves them, and how it runs.
	Spec VirtualMCPServerSpec `json:"spec"`
	// How the gateway and its backends are. Written by the operator.
	//
	// +optional
	Status VirtualMCPServerStatus `json:"status,omitzero"`
}

// VirtualMCPServerList is a list of gateways.
//
// +kubebuilder:object:root=true
type VirtualMCPServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []VirtualMCPServer `json:"items"`
}

// VirtualMCPServerSpec describes a gateway.
//
// +kubebuilder:validation:XValidation:rule="has(self.backendSelector) || has(self.backends)",message="the gateway would have no backends: give backendSelector, or name some in backends"
type VirtualMCPServerSpec struct {
	// Takes in the MCPBackends of this namespace that have these labels. An empty selector
	// takes in all.
	//
	// +optional
	BackendSelector *metav1.LabelSelector `json:"backendSelector,omitempty"`
	// Takes in MCPBackends of this namespace by name, beside those of backendSelector.
	//
	// +kubebuilder:validation:MaxItems=500
	// +listType=map
	// +listMapKey=name
	// +optional
	Backends []BackendRef `json:"backends,omitempty"`
	// Credentials that several backends share, by the name that their auth.use has.
	// Backends on the same one renew it once.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Credentials map[string]Credential `json:"credentials,omitempty"`
	// How the names of several backends are kept apart.
	//
	// +optional
	Catalog *Catalog `json:"catalog,omitempty"`
	// How the gateway finds out whether backends are well.
	//
	// +optional
	Health *Health `json:"health,omitempty"`
	// Sessions of clients.
	//
	// +optional
	Sessions *Sessions `json:"sessions,omitempty"`
	// Who may call the gateway. Without it: whoever shows the token that the operator has
	// put into the Secret vmcp-NAME-token.
	//
	// +optional
	IncomingAuth *IncomingAuth `json:"incomingAuth,omitempty"`
	// Where spans go.
	//
	// +optional
	Telemetry *Telemetry `json:"telemetry,omitempty"`
	// What the gateway may cost.
	//
	// +optional
	Limits *Limits `json:"limits,omitempty"`
	// What is logged.
	//
	// +optional
	Log *Log `json:"log,omitempty"`
	// How long calls in flight may take when a pod of the gateway stops. Default 30s.
	//
	// +optional
	DrainTimeout Duration `json:"drainTimeout,omitempty"`
	// The address under which clients see the gateway, when that is not the Service: that of
	// an Ingress or a Gateway, for instance.
	//
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="is no address of a gateway: write https://host, without query"
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	PublicURL string `json:"publicURL,omitempty"`

	// How many pods the gateway has. Leave it to a HorizontalPodAutoscaler by pointing that
	// at the VirtualMCPServer.
	//
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// The image of the gateway. Default: that of the operator's version.
	//
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`
	// When the image is pulled. Default: Kubernetes' own rule.
	//
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// Secrets with credentials of the registry.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	ImagePullSecrets []SecretRef `json:"imagePullSecrets,omitempty"`
	// Processor and memory of a pod of the gateway. Default: requests of 100m and 64Mi, and
	// a limit of 512Mi.
	//
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// Labels of the nodes that pods of the gateway may run on.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Taints of nodes that pods of the gateway tolerate.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// The Service that clients in the cluster reach the gateway by.
	//
	// +optional
	Service *Service `json:"service,omitempty"`
}

// BackendRef names an MCPBackend of the namespace.
type BackendRef struct {
	// The name of the MCPBackend.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Catalog says how names of tools and prompts of several backends are kept apart.
//
// +kubebuilder:validation:XValidation:rule="!has(self.priority) || (has(self.conflicts) && self.conflicts == 'priority')",message="priority has no effect with another way to settle conflicts: set conflicts: priority, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.separator) || !has(self.conflicts) || self.conflicts == 'prefix' || self.conflicts == 'auto'",message="separator has no effect where nothing stands before a name: set conflicts: prefix or auto, or remove it"
type Catalog struct {
	// prefix (default) puts the backend's name before every name, auto only where two
	// backends have the same; with priority the first backend in the list has it, with
	// manual neither.
	//
	// +kubebuilder:validation:Enum=prefix;auto;priority;manual
	// +optional
	Conflicts string `json:"conflicts,omitempty"`
	// With priority: whose names come first. Backends that are not in it follow in the order
	// of their names; names of backends that the gateway does not have are passed over.
	//
	// +kubebuilder:validation:MaxItems=500
	// +listType=set
	// +optional
	Priority []string `json:"priority,omitempty"`
	// With prefix and auto: what stands between a backend's name and a tool's. Default _.
	//
	// +kubebuilder:validation:XValidation:rule="self.matches('^[_.A-Z][a-zA-Z0-9_.-]*$')",message="is no separator: begin it with _ or . and use letters, digits, _ . and - only"
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Separator string `json:"separator,omitempty"`
	// Longer public names are shortened, 24 to 128. Default 64.
	//
	// +kubebuilder:validation:Minimum=24
	// +kubebuilder:validation:Maximum=128
	// +optional
	MaxNameLength int32 `json:"maxNameLength,omitempty"`
}

// Health says how the gateway finds out whether backends are well.
type Health struct {
	// Between two probes of a backend. At least 1s. Default 30s.
	//
	// +optional
	Interval Duration `json:"interval,omitempty"`
	// Bounds one probe. Default 10s.
	//
	// +optional
	Timeout Duration `json:"timeout,omitempty"`
	// Probes in a row without an answer that make a backend unavailable. Default 3.
	//
	// +kubebuilder:validation:Minimum=1
	// +optional
	UnavailableAfter int32 `json:"unavailableAfter,omitempty"`
}

// Sessions says where sessions of clients are kept.
type Sessions struct {
	// Where they are kept. Default memory.
	//
	// +kubebuilder:validation:Enum=memory
	// +optional
	Store string `json:"store,omitempty"`
	// How long a session lives without being used. Default 30m.
	//
	// +optional
	TTL Duration `json:"ttl,omitempty"`
}

// IncomingAuth says who may call the gateway. There is no way to let everybody in: what
// listens in a cluster can be reached by others.
type IncomingAuth struct {
	// How callers prove who they are: bearer, with one of tokens.
	//
	// +kubebuilder:validation:Enum=bearer
	// +kubebuilder:default=bearer
	// +optional
	Type string `json:"type,omitempty"`
	// The tokens that are accepted.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Tokens []IncomingToken `json:"tokens,omitempty"`
}

// IncomingToken is a token that callers may show.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.digest)",message="give one of secretKeyRef, for a Secret with the token or its digest, and digest"
type IncomingToken struct {
	// The key of a Secret that holds the token, or "sha256:" and its hexadecimal digest. It
	// is read again when it changes.
	//
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
	// "sha256:" and the hexadecimal digest of the token.
	//
	// +kubebuilder:validation:XValidation:rule="self.matches('^sha256:[0-9a-fA-F]{64}$')",message="is no digest of a token: write sha256: and 64 hexadecimal digits, as printf %s TOKEN | sha256sum prints them"
	// +kubebuilder:validation:MaxLength=71
	// +optional
	Digest string `json:"digest,omitempty"`
}

// Telemetry says where spans go.
type Telemetry struct {
	// An OTLP endpoint over HTTP for spans, such as http://collector:4318. Without it no span
	// is made.
	//
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+([/?#].*)?$')",message="is no OTLP endpoint: write http://host:4318"
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	OTLP string `json:"otlp,omitempty"`
	// The service's name in spans. Default recloser.
	//
	// +kubebuilder:validation:MaxLength=255
	// +optional
	ServiceName string `json:"serviceName,omitempty"`
}

// Limits bound what the gateway may cost.
type Limits struct {
	// Bounds a client's request. Default 8MiB.
	//
	// +optional
	RequestBytes Size `json:"requestBytes,omitempty"`
	// Bounds a backend's answer. Default 100MiB.
	//
	// +optional
	ResponseBytes Size `json:"responseBytes,omitempty"`
	// Client sessions open at once in one pod. Default 10000.
	//
	// +kubebuilder:validation:Minimum=1
	// +optional
	Sessions int32 `json:"sessions,omitempty"`
	// Requests at one backend at once from one pod. Default 1024.
	//
	// +kubebuilder:validation:Minimum=1
	// +optional
	InFlightPerBackend int32 `json:"inFlightPerBackend,omitempty"`
}

// Log says what is logged.
type Log struct {
	// What is logged. Default info.
	//
	// +kubebuilder:validation:Enum=debug;info;warn;error
	// +optional
	Level string `json:"level,omitempty"`
	// auto is JSON in a pod. Default auto.
	//
	// +kubebuilder:validation:Enum=auto;text;json
	// +optional
	Format string `json:"format,omitempty"`
}

// Service says how the Service of a gateway looks.
type Service struct {
	// The type of the Service. Default ClusterIP.
	//
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	// +optional
	Type corev1.ServiceType `json:"type,omitempty"`
	// Annotations of the Service, for those who make load balancers.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}
