// Package v1alpha1 is the Kubernetes API of Recloser: a VirtualMCPServer is a
// gateway, an MCPBackend one MCP server behind it.
//
// The sections of both have the names, the meaning and the defaults of the gateway's
// configuration, and are put into it as they are; see docs/configuration.md. What
// differs is what Kubernetes has a better way for: a secret is a key of a Secret, an
// authority a key of a ConfigMap, a backend in the cluster a Service. Durations and
// sizes are texts here, so that one that cannot be read is refused by its own rule and
// does not keep a whole list from being decoded.
//
// +kubebuilder:object:generate=true
// +groupName=recloser.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and the version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "recloser.dev", Version: "v1alpha1"}

// AddToScheme makes the types known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &MCPBackend{}, &MCPBackendList{}, &VirtualMCPServer{}, &VirtualMCPServerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
