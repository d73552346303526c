package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// MCPBackend is one MCP server. It does nothing by itself: VirtualMCPServers of its
// namespace take it in by its labels or its name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcpb,categories=recloser
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Gateways",type=integer,JSONPath=`.status.gatewayCount`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name is too long: it becomes a part of the names of tools, use at most 63 characters"
type MCPBackend struct {
	metav1.TypeMeta `json:",inline"`
	// Standard metadata. The name, in lower case and with - for everything else, stands
	// before the names of the backend's tools.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`
	// What the MCP server is and how it is called.
	Spec MCPBackendSpec `json:"spec"`
	// What the gateways see of it. Written by the operator.
	//
	// +optional
	Status MCPBackendStatus `json:"status,omitzero"`
}

// MCPBackendList is a list of backends.
//
// +kubebuilder:object:root=true
type MCPBackendList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []MCPBackend `json:"items"`
}

// MCPBackendSpec describes an MCP server that is reached over HTTP.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) || has(self.serviceRef)",message="the backend has no address: give url, or serviceRef for a Service of this namespace"
// +kubebuilder:validation:XValidation:rule="!(has(self.url) && has(self.serviceRef))",message="url and serviceRef are two addresses: remove one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.url) || self.url.matches('^https?://[^/?#@]+([/?#].*)?$')",message="url is no address without credentials: write https://host/path, and move credentials to auth"
// +kubebuilder:validation:XValidation:rule="!has(self.headers) || self.headers.all(name, !name.matches('(?i)(token|secret|key|passw|credential|cookie|authorization|signature)'))",message="a header with the name of a secret would show it to everybody who can read this resource: put the value into a Secret and use auth: {type: header, headers: {NAME: {secretKeyRef: {name: SECRET, key: KEY}}}}"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || has(self.serviceRef) || !has(self.url) || self.url.startsWith('https://')",message="tls has no effect on an http url: use https, or remove tls"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !has(self.serviceRef) || !has(self.serviceRef.scheme) || self.serviceRef.scheme == 'https'",message="tls has no effect with serviceRef.scheme http: set https, or remove tls"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || (has(self.auth.type) && self.auth.type == 'unauthenticated') || (has(self.allowInsecure) && self.allowInsecure) || !has(self.url) || self.url.startsWith('https://') || self.url.matches('^http://(localhost|127[.]|[[]::1)')",message="the credential would go over plain http: use https, or set allowInsecure: true where the network is trusted"
// +kubebuilder:validation:XValidation:rule="!has(self.auth) || (has(self.auth.type) && self.auth.type == 'unauthenticated') || (has(self.allowInsecure) && self.allowInsecure) || !has(self.serviceRef) || has(self.tls) || (has(self.serviceRef.scheme) && self.serviceRef.scheme == 'https')",message="the credential would go over plain http to the Service: set serviceRef.scheme: https, or allowInsecure: true where the cluster's network is trusted"
type MCPBackendSpec struct {
	// The MCP endpoint, such as https://host/mcp. It or serviceRef is required.
	// Credentials do not belong into it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	URL string `json:"url,omitempty"`
	// The Service of this namespace that the MCP server is behind. It or url is required.
	//
	// +optional
	ServiceRef *ServiceRef `json:"serviceRef,omitempty"`
	// The transport: http is streamable HTTP, sse the HTTP+SSE of servers that are older
	// than that.
	//
	// +kubebuilder:validation:Enum=http;sse
	// +optional
	Type string `json:"type,omitempty"`
	// Headers sent with every request. They are no place for secrets: those go into auth.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Headers map[string]HeaderText `json:"headers,omitempty"`
	// The credential that the gateway shows to the backend. Without it there is none.
	//
	// +optional
	Auth *BackendAuth `json:"auth,omitempty"`
	// What happens when the backend refuses the credential.
	//
	// +optional
	AuthRetry *AuthRetry `json:"authRetry,omitempty"`
	// How long the gateway waits for the backend.
	//
	// +optional
	Timeouts *Timeouts `json:"timeouts,omitempty"`
	// Which tools are served, and under which names. All without it.
	//
	// +optional
	Tools *Rules `json:"tools,omitempty"`
	// Which prompts are served, and under which names. All without it.
	//
	// +optional
	Prompts *Rules `json:"prompts,omitempty"`
	// Which resources and resource templates are served. All without it.
	//
	// +optional
	Resources *URIRules `json:"resources,omitempty"`
	// Whom to trust, and what to show, when connecting with https.
	//
	// +optional
	TLS *BackendTLS `json:"tls,omitempty"`
	// Whether every client session has a session of its own at the backend (session, the
	// default). shared is for servers without state.
	//
	// +kubebuilder:validation:Enum=session;shared
	// +optional
	Isolation string `json:"isolation,omitempty"`
	// Headers of a client's request that are copied to the backend. Credentials cannot be.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	PassthroughHeaders []HeaderName `json:"passthroughHeaders,omitempty"`
	// Lets a credential go over plain http to another machine. Default false.
	//
	// +optional
	AllowInsecure bool `json:"allowInsecure,omitempty"`
	// An HTTP proxy, or none. Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the
	// gateway's environment say.
	//
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Proxy string `json:"proxy,omitempty"`
	// Takes the backend out of service without deleting it. Default false.
	//
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// HeaderName is the name of an HTTP header.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
type HeaderName string

// HeaderText is the value of an HTTP header.
//
// +kubebuilder:validation:MaxLength=4096
type HeaderText string

// ServiceRef names a port of a Service in the namespace of the resource.
type ServiceRef struct {
	// The name of the Service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// The name of the port, or its number. It can be left out when the Service has only
	// one.
	//
	// +optional
	Port *intstr.IntOrString `json:"port,omitempty"`
	// The path of the MCP endpoint. Default /mcp.
	//
	// +kubebuilder:default=/mcp
	// +kubebuilder:validation:Pattern=`^/[^?#]*$`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`
	// http or https. Default https when tls is given, else http.
	//
	// +kubebuilder:validation:Enum=http;https
	// +optional
	Scheme string `json:"scheme,omitempty"`
}

// BackendAuth is the credential of a backend: one of its own, with a type and the
// settings of that type, or one that a VirtualMCPServer has for several backends.
//
// +kubebuilder:validation:XValidation:rule="has(self.type) != has(self.use)",message="give one of type, for a credential of the backend's own, and use, for a shared one of the gateway"
// +kubebuilder:validation:XValidation:rule="!has(self.use) || !(has(self.token) || has(self.headers) || has(self.tokenURL) || has(self.clientID) || has(self.clientSecret) || has(self.clientAuth) || has(self.allowInsecure))",message="beside use there can be only scopes and resource: the shared credential has the other settings, remove them here"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'bearer' || has(self.token)",message="type bearer needs a token: add token: {secretKeyRef: {name: SECRET, key: KEY}}"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type == 'bearer' || !has(self.token)",message="token belongs to type bearer: set type: bearer, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'header' || has(self.headers)",message="type header needs headers: add headers: {NAME: {secretKeyRef: {name: SECRET, key: KEY}}}"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type == 'header' || !has(self.headers)",message="headers belongs to type header: set type: header, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'client_credentials' || (has(self.tokenURL) && has(self.clientID) && has(self.clientSecret))",message="type client_credentials needs tokenURL, clientID and clientSecret: add what is missing"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type == 'client_credentials' || !(has(self.tokenURL) || has(self.clientID) || has(self.clientSecret) || has(self.clientAuth) || has(self.allowInsecure) || has(self.scopes) || has(self.resource))",message="tokenURL, clientID, clientSecret, clientAuth, allowInsecure, scopes and resource belong to type client_credentials: set that type, or remove them"
type BackendAuth struct {
	// The kind of credential. bearer sends a token, header sends headers of your choice,
	// client_credentials fetches tokens from an authorization server and renews them,
	// unauthenticated sends nothing. This or use is required.
	//
	// +kubebuilder:validation:Enum=bearer;header;client_credentials;unauthenticated
	// +optional
	Type string `json:"type,omitempty"`
	// The name of a credential in spec.credentials of the VirtualMCPServer. Backends that
	// use the same one renew it once.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Use string `json:"use,omitempty"`

	CredentialSettings `json:",inline"`
}

// AuthRetry says what the gateway does when a backend refuses the credential.
type AuthRetry struct {
	// Sends of a call after the first one was refused, 0 to 3. Default 3.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3
	// +optional
	MaxRetries *int32 `json:"maxRetries,omitempty"`
	// The wait before the first of them while the credential has not changed; it doubles.
	// At most 3s. Default 100ms.
	//
	// +optional
	InitialWait Duration `json:"initialWait,omitempty"`
	// Exhausted sequences in a row that open the breaker. Default 5.
	//
	// +kubebuilder:validation:Minimum=1
	// +optional
	OpenAfter int32 `json:"openAfter,omitempty"`
	// While the breaker is open a call is sent once (pass, the default) or fails unsent
	// (reject).
	//
	// +kubebuilder:validation:Enum=pass;reject
	// +optional
	WhenOpen string `json:"whenOpen,omitempty"`
	// Whether a 403 may be about the credential. With false it is a refused permission.
	// Default true.
	//
	// +optional
	RetryOn403 *bool `json:"retryOn403,omitempty"`
	// How long the breaker stays open the first time; it doubles. Default 30s.
	//
	// +optional
	CoolDown Duration `json:"coolDown,omitempty"`
	// The longest cool-down. Default 5m.
	//
	// +optional
	MaxCoolDown Duration `json:"maxCoolDown,omitempty"`
}

// Timeouts bound the waits for a backend.
type Timeouts struct {
	// Bounds dialling and, by itself, the TLS handshake. Default 5s.
	//
	// +optional
	Connect Duration `json:"connect,omitempty"`
	// How long an answer may stay silent. "0" is no limit. Default 10m.
	//
	// +optional
	Idle Duration `json:"idle,omitempty"`
}

// Rules select tools or prompts by the names that the backend uses. What they leave out
// is not listed and cannot be called.
type Rules struct {
	// Globs of what is served; everything without it.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Allow []string `json:"allow,omitempty"`
	// Globs of what is not served, also when allow names it.
	//
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Deny []string `json:"deny,omitempty"`
	// Names of the backend and what clients see instead.
	//
	// +kubebuilder:validation:MaxProperties=1000
	// +optional
	Rename map[string]string `json:"rename,omitempty"`
	// Names of the backend and the digest of the definition to accept, as sha256: and 64
	// hexadecimal digits. Another definition is not served.
	//
	// +kubebuilder:validation:MaxProperties=1000
	// +optional
	Pin map[string]Digest `json:"pin,omitempty"`
}

// Digest is the digest of a definition.
//
// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
type Digest string

// URIRules select resources by their URIs and resource templates by their text.
type URIRules struct {
	// Globs of what is served; everything without it.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Allow []string `json:"allow,omitempty"`
	// Globs of what is not served, also when allow names it.
	//
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Deny []string `json:"deny,omitempty"`
}

// BackendTLS says whom to trust, and what to show.
type BackendTLS struct {
	// The key of a ConfigMap with an authority in PEM, to trust beside those of the system.
	//
	// +optional
	CAConfigMapRef *ConfigMapKeyRef `json:"caConfigMapRef,omitempty"`
	// A Secret of type kubernetes.io/tls with the client certificate to show. A renewed
	// one is used from the next connection on.
	//
	// +optional
	ClientCertificateRef *SecretRef `json:"clientCertificateRef,omitempty"`
}
