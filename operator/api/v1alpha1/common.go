package v1alpha1

// Duration is a time with a unit, such as 500ms, 30s, 5m or 1h30m.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^(0|([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+)$')",message="is no duration: write a number with a unit, such as 500ms, 30s or 5m"
type Duration string

// Size is a number of bytes with a unit, such as 512KiB or 8MiB. KB and MB count in
// thousands.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+ *([KMG]i?B|B)?$')",message="is no size: write a number with a unit, such as 512KiB or 8MiB"
type Size string

// SecretKeyRef names a key of a Secret in the namespace of the resource.
type SecretKeyRef struct {
	// The name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// The key in it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// SecretValue is a secret. It is never written into a resource: a Secret has it.
type SecretValue struct {
	// The key of a Secret that holds it. The gateway mounts the Secret and reads the
	// key again when it changes: a rotated Secret is a rotated credential, without a
	// restart.
	SecretKeyRef SecretKeyRef `json:"secretKeyRef"`
}

// ConfigMapKeyRef names a key of a ConfigMap in the namespace of the resource.
type ConfigMapKeyRef struct {
	// The name of the ConfigMap.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// The key in it.
	//
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// SecretRef names a Secret in the namespace of the resource.
type SecretRef struct {
	// The name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Credential is a credential towards backends: a type, and the settings of that type.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'bearer' || has(self.token)",message="type bearer needs a token: add token: {secretKeyRef: {name: SECRET, key: KEY}}"
// +kubebuilder:validation:XValidation:rule="self.type == 'bearer' || !has(self.token)",message="token belongs to type bearer: set type: bearer, or remove it"
// +kubebuilder:validation:XValidation:rule="self.type != 'header' || has(self.headers)",message="type header needs headers: add headers: {NAME: {secretKeyRef: {name: SECRET, key: KEY}}}"
// +kubebuilder:validation:XValidation:rule="self.type == 'header' || !has(self.headers)",message="headers belongs to type header: set type: header, or remove it"
// +kubebuilder:validation:XValidation:rule="self.type != 'client_credentials' || (has(self.tokenURL) && has(self.clientID) && has(self.clientSecret))",message="type client_credentials needs tokenURL, clientID and clientSecret: add what is missing"
// +kubebuilder:validation:XValidation:rule="self.type == 'client_credentials' || !(has(self.tokenURL) || has(self.clientID) || has(self.clientSecret) || has(self.clientAuth) || has(self.allowInsecure))",message="tokenURL, clientID, clientSecret, clientAuth and allowInsecure belong to type client_credentials: set that type, or remove them"
type Credential struct {
	// The kind of credential. bearer sends a token, header sends headers of your choice,
	// client_credentials fetches tokens from an authorization server and renews them,
	// unauthenticated sends nothing.
	//
	// +kubebuilder:validation:Enum=bearer;header;client_credentials;unauthenticated
	Type string `json:"type"`

	CredentialSettings `json:",inline"`
}

// CredentialSettings are the settings of the types of credentials.
type CredentialSettings struct {
	// With type bearer: the token, sent as "Authorization: Bearer TOKEN".
	//
	// +optional
	Token *SecretValue `json:"token,omitempty"`
	// With type header: the headers to send, by name.
	//
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Headers map[string]SecretValue `json:"headers,omitempty"`
	// With type client_credentials: the token endpoint.
	//
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	TokenURL string `json:"tokenURL,omitempty"`
	// With type client_credentials: the client's name there.
	//
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	ClientID string `json:"clientID,omitempty"`
	// With type client_credentials: the client's secret there.
	//
	// +optional
	ClientSecret *SecretValue `json:"clientSecret,omitempty"`
	// With type client_credentials: whether the secret goes in a header (basic, the
	// default) or in the form (post).
	//
	// +kubebuilder:validation:Enum=basic;post
	// +optional
	ClientAuth string `json:"clientAuth,omitempty"`
	// With type client_credentials: lets the token endpoint be plain http on another
	// machine.
	//
	// +optional
	AllowInsecure bool `json:"allowInsecure,omitempty"`
	// With type client_credentials, or beside use: the scopes to ask for. The issuer
	// chooses without.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Scopes []string `json:"scopes,omitempty"`
	// With type client_credentials, or beside use: the server that the token is for (RFC
	// 8707).
	//
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Resource string `json:"resource,omitempty"`
}
