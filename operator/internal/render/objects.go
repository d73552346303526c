package render

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ServiceMonitorKind is the kind that the Prometheus operator reads, where there is one.
var ServiceMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}

// ConfigMap holds the document.
func ConfigMap(g Gateway, doc Tree) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(g, ObjectName(g.Resource.Name)),
		Data:       map[string]string{ConfigFile: YAML(doc)},
	}
}

// Secret holds a token that the operator has made.
func Secret(g Gateway, name, token string) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(g, name),
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{TokenKey: []byte(token)},
	}
}

// Service is how clients in the cluster reach the gateway. The admin listener is no part
// of it.
func Service(g Gateway) *corev1.Service {
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta(g, ObjectName(g.Resource.Name)),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: Selector(g.Resource.Name),
			// Sessions of the elder revisions are in the memory of one pod.
			SessionAffinity: corev1.ServiceAffinityClientIP,
			Ports: []corev1.ServicePort{{
				Name: "mcp", Port: MCPPort, TargetPort: intstr.FromString("mcp"), Protocol: corev1.ProtocolTCP, AppProtocol: new("http"),
			}},
		},
	}
	if o := g.Resource.Spec.Service; o != nil {
		s.Annotations = o.Annotations
		if o.Type != "" {
			s.Spec.Type = o.Type
		}
	}
	return s
}

// DisruptionBudget keeps all pods but one when nodes are emptied. A gateway of one pod has
// none: it would keep its node from being emptied at all.
func DisruptionBudget(g Gateway) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: meta(g, ObjectName(g.Resource.Name)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: Selector(g.Resource.Name)},
		},
	}
}

// NeedsDisruptionBudget reports whether a gateway has pods to spare.
func NeedsDisruptionBudget(g Gateway) bool {
	return g.Resource.Spec.Replicas != nil && *g.Resource.Spec.Replicas > 1
}

// NetworkPolicy lets everybody reach the MCP port, and the operator and whoever collects
// metrics the admin port.
func NetworkPolicy(g Gateway) *networkingv1.NetworkPolicy {
	tcp := corev1.ProtocolTCP
	port := func(n int) []networkingv1.NetworkPolicyPort {
		return []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: new(intstr.FromInt(n))}}
	}
	operator := metav1.LabelSelector{}
	if g.Options.OperatorNamespace != "" {
		operator.MatchLabels = map[string]string{corev1.LabelMetadataName: g.Options.OperatorNamespace}
	}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: meta(g, ObjectName(g.Resource.Name)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: Selector(g.Resource.Name)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: port(MCPPort)},
				{Ports: port(AdminPort), From: []networkingv1.NetworkPolicyPeer{
					{NamespaceSelector: &operator, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": ManagedBy}}},
					{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{MonitoringLabel: "true"}}},
				}},
			},
		},
	}
}

// ServiceMonitor has Prometheus collect the metrics of every pod.
func ServiceMonitor(g Gateway) *unstructured.Unstructured {
	name := ObjectName(g.Resource.Name)
	labels := map[string]any{}
	for k, v := range Selector(g.Resource.Name) {
		labels[k] = v
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": labels},
			"endpoints": []any{map[string]any{
				"targetPort": int64(AdminPort), // of the pods: the Service does not have it
				"path":       "/metrics",
				"authorization": map[string]any{
					"credentials": map[string]any{"name": AdminSecret(g.Resource.Name), "key": TokenKey},
				},
			}},
		},
	}}
	u.SetGroupVersionKind(ServiceMonitorKind)
	m := meta(g, name)
	u.SetName(m.Name)
	u.SetNamespace(m.Namespace)
	u.SetLabels(m.Labels)
	u.SetOwnerReferences(m.OwnerReferences)
	return u
}
