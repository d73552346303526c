package cluster

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// AwaitList waits until a list fulfills a condition and returns the list as it then
// was. It watches, so it sees a change at once; a state between two changes may
// pass unseen. What the test was waiting for is in its message when that does not
// come.
func AwaitList[L client.ObjectList](t testing.TB, c *Cluster, list L, what string, fulfilled func(L) bool, opts ...client.ListOption) L {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := c.await(ctx, list, func() bool { return fulfilled(list) }, opts...); err != nil {
		seen, _ := yaml.Marshal(list)
		t.Fatalf("waiting until %s: %v\nlast seen:\n%s", what, err, seen)
	}
	return list
}

// await lists into list, again after every change, until done. The list is read
// whole each time: it is short, and a test's condition is then about what the
// server holds at one moment.
func (c *Cluster) await(ctx context.Context, list client.ObjectList, done func() bool, opts ...client.ListOption) error {
	for ctx.Err() == nil {
		empty(list)
		if err := c.Client.List(ctx, list, opts...); err != nil {
			return err
		}
		if done() {
			return nil
		}
		since := &client.ListOptions{}
		since.ApplyOptions(opts)
		raw := *since.AsListOptions()
		raw.ResourceVersion = list.GetResourceVersion()
		since.Raw = &raw
		w, err := c.Client.Watch(ctx, list, since)
		if err != nil {
			return err
		}
		err = next(ctx, w)
		w.Stop()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// empty takes away all that an object or list holds. Decoding into one that holds
// something would keep what is no more.
func empty(obj runtime.Object) {
	kind := obj.GetObjectKind().GroupVersionKind()
	reflect.ValueOf(obj).Elem().SetZero()
	obj.GetObjectKind().SetGroupVersionKind(kind)
}

// next waits for something to happen. The end of a watch is something too: the
// server ends them now and then.
func next(ctx context.Context, w watch.Interface) error {
	select {
	case event := <-w.ResultChan():
		if event.Type == watch.Error {
			if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				return err
			}
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Await waits until the object with the name and namespace of obj is there and
// fulfills a condition. It is then in obj, which is returned.
func Await[T client.Object](t testing.TB, c *Cluster, obj T, what string, fulfilled func(T) bool) T {
	t.Helper()
	awaitOne(t, c, obj, what, func(there bool) bool { return there && fulfilled(obj) })
	return obj
}

// AwaitGone waits until there is no object with the name and namespace of obj.
func AwaitGone(t testing.TB, c *Cluster, obj client.Object) {
	t.Helper()
	awaitOne(t, c, obj, "it is gone", func(there bool) bool { return !there })
}

func awaitOne(t testing.TB, c *Cluster, obj client.Object, what string, done func(there bool) bool) {
	t.Helper()
	key := client.ObjectKeyFromObject(obj)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	list, err := c.listOf(obj)
	if err != nil {
		t.Fatal(err)
	}
	there := false
	err = c.await(ctx, list, func() bool {
		there = meta.LenList(list) > 0
		if there {
			empty(obj)
			err := c.Client.Get(ctx, key, obj)
			if there = err == nil; err != nil && !apierrors.IsNotFound(err) {
				return false // the watch brings the next chance
			}
		}
		return done(there)
	}, client.InNamespace(key.Namespace), client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)})
	if err != nil {
		seen := []byte("nothing")
		if there {
			seen, _ = yaml.Marshal(obj)
		}
		t.Fatalf("waiting for %T %s until %s: %v\nlast seen:\n%s", obj, key, what, err, seen)
	}
}

// listOf returns an empty list of the kind that obj is of.
func (c *Cluster) listOf(obj client.Object) (client.ObjectList, error) {
	kind, err := c.Client.GroupVersionKindFor(obj)
	if err != nil {
		return nil, err
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List") + "List"
	made, err := c.Client.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	list, ok := made.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s is no list", kind)
	}
	return list, nil
}
