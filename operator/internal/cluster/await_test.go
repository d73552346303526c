package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What an object held before is not taken for what the server has now.
func TestAnObjectIsEmptiedButKeepsItsKind(t *testing.T) {
	list := &corev1.PodList{Items: []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "before"}}}}
	empty(list)
	if cap(list.Items) != 0 {
		t.Errorf("left: %v", list.Items[:cap(list.Items)])
	}
	kind := schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "K"}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetName("before")
	empty(u)
	if u.GetName() != "" || u.GroupVersionKind() != kind {
		t.Errorf("left: %v", u.Object)
	}
}
