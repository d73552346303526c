package config

import (
	"reflect"

	"github.com/recloser-mcp/recloser/auth"
)

// CanFollow reports whether a running gateway can go over from the configuration
// before to this one. The error is of type Problems and names the settings that need
// another start.
func (d *Document) CanFollow(before *Document) error {
	var problems Problems
	now, was := d.Sessions, before.Sessions
	now.Max, was.Max = 0, 0 // that is limits.sessions
	for _, s := range []struct {
		key      string
		now, was any
	}{
		{"listen", d.Listen, before.Listen},
		{"admin.listen", d.Admin.Listen, before.Admin.Listen},
		{"telemetry", d.Telemetry, before.Telemetry},
		{"sessions", now, was},
		{"limits.sessions", d.Limits.Sessions, before.Limits.Sessions},
		{"log.format", d.Log.Format, before.Log.Format},
	} {
		if !reflect.DeepEqual(s.now, s.was) {
			problems = append(problems, Problem{File: d.File, Path: s.key, Message: "cannot change while the gateway runs",
				Fix: "start the gateway again for it, or put the former value back"})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// Same reports whether c describes the same credential as other, so that one source
// serves both.
func (c Credential) Same(other Credential) bool {
	return c.Key == other.Key && c.Spec.Type == other.Spec.Type && same(reflect.ValueOf(c.settings), reflect.ValueOf(other.settings))
}

// same compares settings deeply, secrets by their own Equal. What it cannot look into
// counts as different.
func same(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return false
	}
	if equal, secret := sameSecret(a, b); secret {
		return equal
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		return a.IsNil() == b.IsNil() && (a.IsNil() || same(a.Elem(), b.Elem()))
	case reflect.Struct:
		return each(a.NumField(), func(i int) bool { return same(a.Field(i), b.Field(i)) })
	case reflect.Slice, reflect.Array:
		return a.Len() == b.Len() && each(a.Len(), func(i int) bool { return same(a.Index(i), b.Index(i)) })
	case reflect.Map:
		keys := a.MapKeys()
		return a.Len() == b.Len() && each(len(keys), func(i int) bool { return same(a.MapIndex(keys[i]), b.MapIndex(keys[i])) })
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return a.IsNil() && b.IsNil()
	}
	return a.Equal(b)
}

// sameSecret compares what hides itself; secret is false for everything else.
func sameSecret(a, b reflect.Value) (equal, secret bool) {
	if !a.CanInterface() || !b.CanInterface() {
		return false, false
	}
	switch x := a.Interface().(type) {
	case auth.Value:
		y, _ := b.Interface().(auth.Value)
		return x.Equal(y), true
	case auth.Secret:
		y, _ := b.Interface().(auth.Secret)
		return x.Equal(y), true
	}
	return false, false
}

func each(n int, holds func(i int) bool) bool {
	for i := range n {
		if !holds(i) {
			return false
		}
	}
	return true
}
