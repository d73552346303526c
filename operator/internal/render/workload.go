package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// The time that a pod has to stop: endpoints forget it first, then calls in flight end.
const (
	forgetSeconds = 5
	spareSeconds  = 10
	defaultDrain  = 30 * time.Second
)

// user is the one that the image runs as.
const user = 65532

// Deployment makes the workload of a gateway with this document. References are what the
// pods mount: what the document needs, and what backends that are not accepted will need
// when they are.
func Deployment(g Gateway, doc Tree, refs References) *appsv1.Deployment {
	name := ObjectName(g.Resource.Name)
	spec := g.Resource.Spec
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta(g, name),
		Spec: appsv1.DeploymentSpec{
			Replicas: spec.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: Selector(g.Resource.Name)},
			// The pods that serve stay until others do.
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt32(1)),
			}},
			RevisionHistoryLimit:    new(int32(3)),
			ProgressDeadlineSeconds: new(int32(120)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      Labels(g.Resource.Name),
					Annotations: map[string]string{RestartAnnotation: restartFor(g, doc)},
				},
				Spec: podSpec(g, doc, refs),
			},
		},
	}
	return d
}

func podSpec(g Gateway, doc Tree, refs References) corev1.PodSpec {
	spec := g.Resource.Spec
	volumes, mounts := files(g, refs)
	image := spec.Image
	if image == "" {
		image = g.Options.Image
	}
	p := corev1.PodSpec{
		// The gateway asks nothing of the cluster.
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(forgetSeconds + drainSeconds(doc) + spareSeconds),
		NodeSelector:                  spec.NodeSelector,
		Tolerations:                   spec.Tolerations,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: volumes,
		Containers: []corev1.Container{{
			Name:            "recloser",
			Image:           image,
			ImagePullPolicy: spec.ImagePullPolicy,
			Args:            []string{"serve", "--config", ConfigDir + "/" + ConfigFile},
			Env: []corev1.EnvVar{{Name: PodIP, ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"},
			}}},
			Ports: []corev1.ContainerPort{
				{Name: "mcp", ContainerPort: MCPPort, Protocol: corev1.ProtocolTCP},
				{Name: "admin", ContainerPort: AdminPort, Protocol: corev1.ProtocolTCP},
			},
			Resources: resources(spec.Resources),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: mounts,
			// A gateway that serves no tool is not sent calls, but not ended either: that would
			// mend nothing.
			ReadinessProbe: probe("/readyz", 5, 2),
			LivenessProbe:  probe("/healthz", 10, 6),
			Lifecycle:      &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: forgetSeconds}}},
		}},
	}
	for _, s := range spec.ImagePullSecrets {
		p.ImagePullSecrets = append(p.ImagePullSecrets, corev1.LocalObjectReference{Name: s.Name})
	}
	if spec.Replicas == nil || *spec.Replicas > 1 {
		p.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: Selector(g.Resource.Name)},
		}}
	}
	return p
}

// files are the volumes: the configuration, and whole Secrets and ConfigMaps, so that a
// key that is there later needs no other pod. They are optional: one that is missing is
// told by a condition and keeps no pod from starting.
func files(g Gateway, refs References) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: ObjectName(g.Resource.Name)},
	}}}}
	mounts := []corev1.VolumeMount{{Name: "config", MountPath: ConfigDir, ReadOnly: true}}
	secrets, maps := map[string]bool{}, map[string]bool{}
	for _, r := range refs.Secrets {
		secrets[r.Name] = true
	}
	for _, r := range refs.ConfigMaps {
		maps[r.Name] = true
	}
	for _, name := range sorted(secrets) {
		v := short("secret", name)
		volumes = append(volumes, corev1.Volume{Name: v, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: name, DefaultMode: new(int32(0o440)), Optional: new(true),
		}}})
		mounts = append(mounts, corev1.VolumeMount{Name: v, MountPath: secretDir + "/" + name, ReadOnly: true})
	}
	for _, name := range sorted(maps) {
		v := short("ca", name)
		volumes = append(volumes, corev1.Volume{Name: v, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: new(true),
		}}})
		mounts = append(mounts, corev1.VolumeMount{Name: v, MountPath: caDir + "/" + name, ReadOnly: true})
	}
	return volumes, mounts
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 3, FailureThreshold: failures,
	}
}

func resources(r *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if r != nil {
		return *r
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

// drainSeconds is how long the document lets calls end.
func drainSeconds(doc Tree) int64 {
	text, _ := doc["drainTimeout"].(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		d = defaultDrain
	}
	return int64((d + time.Second - 1) / time.Second)
}

// restartFor is the same for documents that a running gateway can go over between; see
// config.Document.CanFollow.
func restartFor(g Gateway, doc Tree) string {
	part := func(section, key string) any {
		s, _ := doc[section].(Tree)
		return s[key]
	}
	text := YAML(Tree{
		"listen": doc["listen"], "admin": part("admin", "listen"), "telemetry": doc["telemetry"], "sessions": doc["sessions"],
		"max": part("limits", "sessions"), "log": part("log", "format"), "authorities": g.Authorities,
	})
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// URL is where clients reach the gateway.
func URL(g *v1alpha1.VirtualMCPServer) string {
	if g.Spec.PublicURL != "" {
		return strings.TrimSuffix(g.Spec.PublicURL, "/") + "/mcp"
	}
	return fmt.Sprintf("http://%s.%s.svc:%d/mcp", ObjectName(g.Name), g.Namespace, MCPPort)
}

// meta is the metadata of an object of the gateway, which goes with it.
func meta(g Gateway, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: g.Resource.Namespace, Labels: Labels(g.Resource.Name),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(g.Resource, v1alpha1.GroupVersion.WithKind("VirtualMCPServer"))},
	}
}
