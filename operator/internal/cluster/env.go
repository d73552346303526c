package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

// environment returns the variables that a container has by its envFrom and env.
// The error says what is missing; it may come yet.
func (k *Kubelet) environment(pod *corev1.Pod, c *corev1.Container, ip string) (map[string]string, error) {
	env := make(map[string]string)
	for _, from := range c.EnvFrom {
		data, err := k.envFrom(pod.Namespace, from)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			env[from.Prefix+name] = value
		}
	}
	for _, e := range c.Env {
		value, ok, err := k.envValue(pod, c, ip, e, env)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		if ok {
			env[e.Name] = value
		}
	}
	return env, nil
}

func (k *Kubelet) envFrom(ns string, from corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		data, err := k.configMap(ns, from.ConfigMapRef.Name)
		return asStrings(data), orOptional(err, from.ConfigMapRef.Optional)
	case from.SecretRef != nil:
		data, err := k.secret(ns, from.SecretRef.Name)
		return asStrings(data), orOptional(err, from.SecretRef.Optional)
	}
	return nil, nil
}

// envValue returns the value of one variable, false when it is not to be set.
func (k *Kubelet) envValue(pod *corev1.Pod, c *corev1.Container, ip string, e corev1.EnvVar, before map[string]string) (string, bool, error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return expand(e.Value, before), true, nil
	case from.FieldRef != nil:
		value, err := field(pod, ip, from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err := resourceField(c, from.ResourceFieldRef)
		return value, true, err
	case from.SecretKeyRef != nil:
		data, err := k.secret(pod.Namespace, from.SecretKeyRef.Name)
		return keyOf(data, err, from.SecretKeyRef.Key, from.SecretKeyRef.Optional)
	case from.ConfigMapKeyRef != nil:
		data, err := k.configMap(pod.Namespace, from.ConfigMapKeyRef.Name)
		return keyOf(data, err, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional)
	}
	return "", false, fmt.Errorf("this source is not supported")
}

func keyOf(data map[string][]byte, err error, key string, optional *bool) (string, bool, error) {
	value, ok := data[key]
	if err == nil && !ok {
		err = fmt.Errorf("there is no key %q", key)
		if optional != nil && *optional {
			err = nil
		}
	}
	return string(value), ok, orOptional(err, optional)
}

// orOptional forgives that something optional is not there.
func orOptional(err error, optional *bool) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// secret and configMap return what an object holds. They read what the informers
// know, which tell of it when it comes.
func (k *Kubelet) secret(ns, name string) (map[string][]byte, error) {
	s, err := k.secrets.Secrets(ns).Get(name)
	if err != nil {
		return nil, err
	}
	return s.Data, nil
}

func (k *Kubelet) configMap(ns, name string) (map[string][]byte, error) {
	m, err := k.configMaps.ConfigMaps(ns).Get(name)
	if err != nil {
		return nil, err
	}
	data := maps.Clone(m.BinaryData)
	if data == nil {
		data = make(map[string][]byte)
	}
	for key, value := range m.Data {
		data[key] = []byte(value)
	}
	return data, nil
}

func asStrings(data map[string][]byte) map[string]string {
	texts := make(map[string]string, len(data))
	for key, value := range data {
		texts[key] = string(value)
	}
	return texts
}

// field is a field of a pod, by the downward API. A pod learns the address at
// which it can listen.
func field(pod *corev1.Pod, ip, path string) (string, error) {
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return Local(ip), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	}
	for prefix, values := range map[string]map[string]string{"metadata.labels['": pod.Labels, "metadata.annotations['": pod.Annotations} {
		if key, ok := strings.CutPrefix(path, prefix); ok && strings.HasSuffix(key, "']") {
			return values[strings.TrimSuffix(key, "']")], nil
		}
	}
	return "", fmt.Errorf("field %q is not supported", path)
}

// lines are labels or annotations as a file of the downward API has them.
func lines(values map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s=%q\n", key, values[key])
	}
	return b.String()
}

// resourceField is a container's limit or request in units of the divisor, rounded
// up.
func resourceField(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, ok := list[corev1.ResourceName(name)]
	if !ok {
		return "", fmt.Errorf("the container has no %s", ref.Resource)
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	by := divisor.MilliValue()
	return strconv.FormatInt((quantity.MilliValue()+by-1)/by, 10), nil
}

// expand puts variables in the place of $(NAME). $$(NAME) is $(NAME) itself, and a
// name that is not set stays as it is written.
func expand(text string, env map[string]string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "$")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		text = rest
		if strings.HasPrefix(rest, "$") {
			b.WriteByte('$')
			text = rest[1:]
			continue
		}
		inner, bracket := strings.CutPrefix(rest, "(")
		name, after, closed := strings.Cut(inner, ")")
		if value, set := env[name]; bracket && closed && set {
			b.WriteString(value)
			text = after
			continue
		}
		b.WriteByte('$')
	}
}
