package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/recloser-mcp/recloser/auth"
)

// decoder writes a tree into structs by their yaml tags. Unlike the YAML
// library it reports every problem with its column, knows variables, and never
// quotes a secret. One decoder serves a document and every Spec made of it.
type decoder struct {
	*collector
	x        *expander
	warnings *warnings
	registry *auth.OutgoingAuthRegistry
	secrets  map[*node]bool // what turned out to be secret; nil: not remembered
}

// nodeDecoder is a type that reads its part of the tree itself.
type nodeDecoder interface {
	decodeNode(d *decoder, n *node, path string)
}

// preparer is a struct that wants to see its mapping before its members are
// decoded.
type preparer interface {
	prepare(d *decoder, n *node, path string)
}

// keyHandler is a struct that knows keys beyond its fields. It reports whether
// it took the key.
type keyHandler interface {
	decodeKey(d *decoder, m *member, path string) bool
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	valueType    = reflect.TypeFor[auth.Value]()
)

// into decodes a value into *v.
func (d *decoder) into(n *node, path string, v any) { d.decode(n, path, reflect.ValueOf(v).Elem()) }

func (d *decoder) decode(n *node, path string, v reflect.Value) {
	if n.broken {
		return
	}
	if nd, ok := v.Addr().Interface().(nodeDecoder); ok {
		nd.decodeNode(d, n, path)
		return
	}
	if n.kind == scalar && n.tag == "null" {
		d.add(n.mark, path, "is empty", "give it a value or remove the key")
		return
	}
	if v.Type() == valueType {
		d.secret(n, path, v.Addr().Interface().(*auth.Value))
		return
	}
	if tu, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := d.scalar(n, path, "a text"); ok {
			if err := tu.UnmarshalText([]byte(s)); err != nil {
				message, fix := inTwo(err.Error())
				d.foreign(n.mark, path, message, fix, n, n)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, path, p.Elem())
		v.Set(p)
	case reflect.Struct:
		if n.kind != mapping {
			d.wrong(n, path, "a mapping")
			return
		}
		d.structure(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	default:
		d.basic(n, path, v)
	}
}

// structure decodes the members of a mapping into the fields of a struct and
// reports keys that it does not have.
func (d *decoder) structure(n *node, path string, v reflect.Value) {
	if p, ok := v.Addr().Interface().(preparer); ok {
		p.prepare(d, n, path)
	}
	fields := fieldsOf(v)
	for i := range n.members {
		m := &n.members[i]
		at := join(path, m.key)
		if f, ok := fields[m.key]; ok {
			d.decode(m.value, at, f)
			continue
		}
		if kh, ok := v.Addr().Interface().(keyHandler); ok && kh.decodeKey(d, m, at) {
			continue
		}
		d.add(m.mark, at, "unknown key", suggestion(m.key, keysOf(v.Type())))
	}
}

func (d *decoder) mapping(n *node, path string, v reflect.Value) {
	if n.kind != mapping {
		d.wrong(n, path, "a mapping")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.members)))
	for _, m := range n.members {
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(m.value, join(path, m.key), e)
		v.SetMapIndex(reflect.ValueOf(m.key).Convert(v.Type().Key()), e)
	}
}

func (d *decoder) list(n *node, path string, v reflect.Value) {
	if n.kind != list {
		d.wrong(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.decode(item, index(path, i), v.Index(i))
	}
}

// basic decodes a scalar into a text, number, truth value, duration or size.
func (d *decoder) basic(n *node, path string, v reflect.Value) {
	want, fix := wanted(v.Type())
	s, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	bad := func() {
		d.add(n.mark, path, fmt.Sprintf("expected %s, got %s", want, quote(n)), fix)
	}
	switch {
	case v.Type() == durationType:
		t, err := time.ParseDuration(s)
		if err != nil {
			bad()
			return
		}
		if t < 0 {
			d.add(n.mark, path, "is a negative duration", "use a positive one")
			return
		}
		v.SetInt(int64(t))
	case v.Type() == sizeType:
		size, err := ParseSize(s)
		if err != nil {
			bad()
			return
		}
		v.SetInt(int64(size))
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Bool:
		if s != "true" && s != "false" {
			bad()
			return
		}
		v.SetBool(s == "true")
	case v.CanInt():
		i, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			bad()
			return
		}
		v.SetInt(i)
	case v.CanUint():
		u, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			bad()
			return
		}
		v.SetUint(u)
	case v.CanFloat():
		f, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			bad()
			return
		}
		v.SetFloat(f)
	default:
		d.add(n.mark, path, "cannot be set in a document", "remove it")
	}
}

// wanted says in words what a field takes, and the fix for anything else.
func wanted(t reflect.Type) (want, fix string) {
	switch {
	case t == durationType:
		return "a duration", "write a number with its unit, such as 500ms, 30s or 5m"
	case t == sizeType:
		return "a size", "write a number with its unit, such as 512KiB or 8MiB"
	case t.Kind() == reflect.String:
		return "a text", ""
	case t.Kind() == reflect.Bool:
		return "true or false", ""
	}
	return "a number", ""
}

// secret decodes a text that may not be shown.
func (d *decoder) secret(n *node, path string, v *auth.Value) {
	if n.kind != scalar {
		d.wrong(n, path, "a text")
		return
	}
	if d.secrets != nil {
		d.secrets[n] = true
	}
	text, err := d.x.secret(n.text)
	if err == nil {
		err = v.UnmarshalText([]byte(text))
	}
	if err != nil {
		d.expansion(n, path, err)
	}
}

// scalar expands a text that may be shown.
func (d *decoder) scalar(n *node, path, want string) (string, bool) {
	if n.kind != scalar {
		d.wrong(n, path, want)
		return "", false
	}
	s, _, err := d.x.plain(n.text)
	if err != nil {
		d.expansion(n, path, err)
		return "", false
	}
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		d.add(n.mark, path, "has a byte that no text has", "check what the value comes from")
		return "", false
	}
	return s, true
}

func (d *decoder) expansion(n *node, path string, err error) {
	var p *problemText
	if errors.As(err, &p) {
		d.put(n.mark, path, p.message, p.fix, p.outside)
		return
	}
	d.add(n.mark, path, err.Error(), "")
}

func (d *decoder) wrong(n *node, path, want string) {
	d.add(n.mark, path, fmt.Sprintf("expected %s, got %s", want, n.what()), "")
}

// quote shows a scalar as the document has it: a reference, never its value.
func quote(n *node) string {
	if n.kind != scalar {
		return n.what()
	}
	s := n.text
	if utf8.RuneCountInString(s) > 60 {
		s = string([]rune(s)[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// fieldsOf maps the keys of a struct to its fields.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, inline, ok := keyOf(f)
		switch {
		case !ok:
		case inline:
			for k, fv := range fieldsOf(v.Field(i)) {
				out[k] = fv
			}
		default:
			out[key] = v.Field(i)
		}
	}
	return out
}

// keysOf lists the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		key, inline, ok := keyOf(t.Field(i))
		switch {
		case !ok || strings.HasPrefix(key, "$"):
		case inline:
			out = append(out, keysOf(t.Field(i).Type)...)
		case !slices.Contains(out, key): // an outer field hides an embedded one
			out = append(out, key)
		}
	}
	return out
}

// keyOf reads the yaml tag of a field by the rules of the YAML library.
func keyOf(f reflect.StructField) (key string, inline, ok bool) {
	tag := f.Tag.Get("yaml")
	if !f.IsExported() || tag == "-" {
		return "", false, false
	}
	key, options, _ := strings.Cut(tag, ",")
	if strings.Contains(options, "inline") {
		return "", true, f.Type.Kind() == reflect.Struct
	}
	if key == "" {
		key = strings.ToLower(f.Name)
	}
	return key, false, true
}
