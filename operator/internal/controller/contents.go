package controller

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds whose content is read.
const (
	secretKind    = "Secret"
	configMapKind = "ConfigMap"
	serviceKind   = "Service"
)

// contents reads Secrets and ConfigMaps. Only their metadata is watched and kept: what is
// in them is fetched when it is needed, and forgotten.
type contents struct {
	cached client.Reader
	live   client.Reader
}

// metadata is an object of the kind with nothing but metadata.
func metadata(kind string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind}}
}

// version changes with the content; it is empty while there is no such object.
func (c contents) version(ctx context.Context, kind string, key types.NamespacedName) (string, error) {
	m := metadata(kind)
	if err := c.cached.Get(ctx, key, m); err != nil {
		return "", client.IgnoreNotFound(err)
	}
	return m.ResourceVersion, nil
}

// data fetches what is in a Secret or ConfigMap, nil when there is none.
func (c contents) data(ctx context.Context, kind string, key types.NamespacedName) (map[string][]byte, error) {
	if kind == secretKind {
		var s corev1.Secret
		if err := c.live.Get(ctx, key, &s); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		return orEmpty(s.Data), nil
	}
	var m corev1.ConfigMap
	if err := c.live.Get(ctx, key, &m); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	data := make(map[string][]byte, len(m.Data))
	for k, v := range m.Data {
		data[k] = []byte(v)
	}
	return data, nil
}

func orEmpty(data map[string][]byte) map[string][]byte {
	if data == nil {
		return map[string][]byte{}
	}
	return data
}

// reference is an object that the spec of another one names.
type reference struct {
	kind string
	key  types.NamespacedName
}

// index knows who refers to what, so that a change of an object reaches those that read
// it. It is filled before the objects are read, and survives their absence.
type index struct {
	mu   sync.Mutex
	refs map[types.NamespacedName]map[reference]bool
}

// set replaces the references of one.
func (x *index) set(owner types.NamespacedName, refs []reference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refs == nil {
		x.refs = map[types.NamespacedName]map[reference]bool{}
	}
	delete(x.refs, owner)
	for _, r := range refs {
		if x.refs[owner] == nil {
			x.refs[owner] = map[reference]bool{}
		}
		x.refs[owner][r] = true
	}
}

// find returns those that refer to an object.
func (x *index) find(r reference) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	var owners []types.NamespacedName
	for owner, refs := range x.refs {
		if refs[r] {
			owners = append(owners, owner)
		}
	}
	return owners
}

// gone reports whether an error says that there is no such object.
func gone(err error) bool { return apierrors.IsNotFound(err) }
