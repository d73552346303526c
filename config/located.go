package config

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// validator is an option struct of a package below.
type validator interface{ Validate() error }

// located reports the errors of a package below at the keys they speak of. By
// the rule of this repository such an error begins with its key ("interval is
// 0s: use 1s or more", "tokens[1]: is empty"); others are put at the section.
func (d *decoder) located(n *node, path string, at mark, err error) {
	for _, e := range flatten(err) {
		where, key, text := resolveKey(n, path, e.Error())
		switch {
		case d.bad(key) && key != path:
			continue // said already
		case where == nil && key != path && d.bad(path):
			continue // a key is missing: the misspelt one, most likely
		case where != nil:
			at = where.mark
		}
		message, fix := inTwo(text)
		d.foreign(at, key, message, fix, n, where)
	}
}

// inTwo takes the fix off the end of an error of a package below.
func inTwo(text string) (message, fix string) {
	if i := strings.LastIndex(text, ": "); i > 0 {
		return text[:i], text[i+2:]
	}
	return text, ""
}

// foreign reports a message that another package worded. Such a message may quote
// what it is about; a value that came from a variable or a file is not repeated.
// section is all that the package saw, n the one value that it speaks of, nil when
// that is not known.
func (d *decoder) foreign(at mark, path, message, fix string, section, n *node) {
	if section.refers() {
		shows := func(text string) bool { return d.x.echoed(text) || n != nil && d.quotes(text, n) }
		if shows(message) {
			message = "takes a value from a variable or a file that is not accepted"
		}
		if shows(fix) {
			fix = ""
		}
	}
	d.add(at, path, message, fix)
}

// refers reports whether anything in a part of the document comes from outside.
func (n *node) refers() bool {
	return refers(n.text) || slices.ContainsFunc(n.items, (*node).refers) ||
		slices.ContainsFunc(n.members, func(m member) bool { return m.value.refers() })
}

// quotes reports whether a message of another package shows a value that the
// document takes from outside.
func (d *decoder) quotes(message string, n *node) bool {
	if n.kind != scalar || !refers(n.text) {
		return false
	}
	s, _, err := d.x.plain(n.text)
	return err != nil || s != "" && strings.Contains(message, s)
}

// flatten takes joined errors apart, also below a prefix.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	if inner := errors.Unwrap(err); inner != nil {
		parts := flatten(inner)
		if len(parts) < 2 {
			return []error{err}
		}
		prefix := strings.TrimSuffix(err.Error(), inner.Error())
		for i, p := range parts {
			parts[i] = errors.New(prefix + p.Error())
		}
		return parts
	}
	return []error{err}
}

// resolveKey splits the key off the front of a message and finds its value in a
// mapping. The node is nil when the document does not have it.
func resolveKey(n *node, path, text string) (*node, string, string) {
	end := strings.IndexAny(text, " :")
	if end <= 0 {
		return nil, path, text
	}
	word, rest := text[:end], strings.TrimLeft(text[end:], ": ")
	if word == "header" { // header NAME: ...
		if h := n.get("headers"); h != nil {
			if name, after, ok := strings.Cut(rest, ": "); ok {
				for _, m := range h.value.members {
					if strings.EqualFold(m.key, name) {
						return m.value, join(join(path, "headers"), m.key), after
					}
				}
			}
			return h.value, join(path, "headers"), text
		}
		return nil, path, text
	}
	known := path
	for step := range strings.SplitSeq(word, ".") {
		key, rest, indexed := strings.Cut(step, "[")
		if !isKey(key) {
			return nil, path, text
		}
		known = join(known, key)
		m := n.get(key)
		if m == nil {
			// A key that is left out is named where it belongs.
			if n.kind != mapping || !looksLikeKey(key, text) {
				return nil, path, text
			}
			return nil, known, restOf(text, word)
		}
		n = m.value
		if indexed {
			if i, err := strconv.Atoi(strings.TrimSuffix(rest, "]")); err == nil && n.kind == list && i < len(n.items) {
				n, known = n.items[i], index(known, i)
			}
		}
	}
	return n, known, restOf(text, word)
}

// looksLikeKey tells "clientID is empty" and "token: it is empty" from prose
// that only begins like a key.
func looksLikeKey(key, text string) bool {
	rest := strings.TrimPrefix(text, key)
	return strings.HasPrefix(rest, ": ") || strings.HasPrefix(rest, " is ") || strings.HasPrefix(rest, " has ")
}

func restOf(text, word string) string {
	return strings.TrimLeft(strings.TrimPrefix(text, word), ": ")
}

// isKey reports whether a word is written as keys are: a lower-case letter first.
func isKey(s string) bool {
	for i, r := range s {
		lower := r >= 'a' && r <= 'z'
		if !lower && (i == 0 || (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_') {
			return false
		}
	}
	return s != ""
}

// validate reports what an option struct finds wrong with itself. A struct that
// stops at its first error is asked again without the setting it named.
func (d *decoder) validate(n *node, path string, at mark, options any) {
	d.noZeros(n, path, reflect.ValueOf(options))
	v := reflect.New(reflect.TypeOf(options)).Elem()
	v.Set(reflect.ValueOf(options))
	for range v.NumField() {
		o, ok := v.Interface().(validator)
		if !ok {
			return
		}
		err := o.Validate()
		if err == nil {
			return
		}
		d.located(n, path, at, err)
		progress := false
		for _, e := range flatten(err) {
			key, _, _ := strings.Cut(e.Error(), " ")
			if f, ok := fieldsOf(v)[strings.TrimSuffix(key, ":")]; ok && !f.IsZero() {
				f.SetZero()
				progress = true
			}
		}
		if !progress {
			return
		}
	}
}

// noZeros refuses a 0 where the option struct would take it for "not set": a
// setting that is accepted has its effect.
func (d *decoder) noZeros(n *node, path string, v reflect.Value) {
	if n == nil || n.kind != mapping {
		return
	}
	fields := fieldsOf(v)
	for _, m := range n.members {
		f, ok := fields[m.key]
		p := join(path, m.key)
		if ok && f.CanInt() && f.IsZero() && m.value.kind == scalar && !d.bad(p) {
			d.add(m.value.mark, p, "is 0", "give it a positive value, or remove the key for its default")
		}
	}
}
