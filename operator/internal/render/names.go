package render

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// Ports of a gateway's pods.
const (
	MCPPort   = 8484
	AdminPort = 8485
)

// Where things are in a pod.
const (
	ConfigDir  = "/etc/recloser"
	ConfigFile = "recloser.yaml" // also the key in the ConfigMap
	caDir      = "/etc/recloser-ca"
	secretDir  = "/run/secrets/recloser"
)

// TokenKey is the key of the token in the Secrets that the operator makes.
const TokenKey = "token"

// PodIP is the variable of a pod's address.
const PodIP = "POD_IP"

// ManagedBy is the value of the label app.kubernetes.io/managed-by of everything that
// the operator makes.
const ManagedBy = "recloser-operator"

// Labels that the operator gives.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	instanceLabel  = "app.kubernetes.io/instance"
)

// MonitoringLabel is the label of namespaces whose pods may read the metrics of
// gateways.
const MonitoringLabel = "recloser.dev/monitoring"

// RestartAnnotation is on pods; it changes with the settings that a running gateway
// cannot take up.
const RestartAnnotation = "recloser.dev/restart-for"

// ObjectName is the name of the Deployment, the Service and the other objects of a
// gateway.
func ObjectName(gateway string) string { return "vmcp-" + gateway }

// TokenSecret is the name of the Secret with the token that the operator makes for
// clients.
func TokenSecret(gateway string) string { return ObjectName(gateway) + "-token" }

// AdminSecret is the name of the Secret with the token of the admin listener.
func AdminSecret(gateway string) string { return ObjectName(gateway) + "-admin" }

// Selector has the labels by which the pods of a gateway are found.
func Selector(gateway string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":      "recloser",
		"app.kubernetes.io/component": "gateway",
		instanceLabel:                 gateway,
	}
}

// Labels are those of everything that belongs to a gateway.
func Labels(gateway string) map[string]string {
	l := Selector(gateway)
	l[ManagedByLabel] = ManagedBy
	return l
}

// SecretPath is where a key of a Secret is in a pod.
func SecretPath(r v1alpha1.SecretKeyRef) string { return secretDir + "/" + r.Name + "/" + r.Key }

// caPath is where a key of a ConfigMap is in a pod.
func caPath(r v1alpha1.ConfigMapKeyRef) string { return caDir + "/" + r.Name + "/" + r.Key }

// fileRef is what the document says in the place of a secret.
func fileRef(r v1alpha1.SecretKeyRef) string { return "${file:" + SecretPath(r) + "}" }

// short makes a name for a volume of one that may be too long for it.
func short(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + "-" + hex.EncodeToString(sum[:6])
}
