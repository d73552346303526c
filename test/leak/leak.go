// Package leak finds credentials in what a program printed: as they are, and in
// the disguises in which they leak in practice (base64, hex, URL escapes, a
// prefix, a hash). The tests of the packages that hold credentials and the
// command test/leakcheck use it.
//
// A token to look for should be random from its first character on: the prefix
// of one that begins with an ordinary word would be found in ordinary text.
package leak

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// PrefixLen is the length of the prefix that counts as a leak.
const PrefixLen = 8

// MinLen is the length below which a token is not searched for: its forms would
// be too short to tell from ordinary text.
const MinLen = 2 * PrefixLen

// Form is one way in which a token can appear.
type Form struct {
	Name string // "plain", "base64", "hex", "url", "prefix", "sha256"
	Text string
	Fold bool // compare without regard to case
}

// Hit is one finding. It names neither the token nor its surroundings, so that
// reporting it leaks nothing more.
type Hit struct {
	Token int    // index into the tokens searched for
	Form  string // name of the form
	Line  int    // 1-based
}

// String describes the hit without the token.
func (h Hit) String() string {
	return fmt.Sprintf("line %d: token %d as %s", h.Line, h.Token+1, h.Form)
}

// Forms lists the ways in which token can appear. It panics when the token is
// shorter than MinLen, which is a defect of the test that made it.
func Forms(token string) []Form {
	if len(token) < MinLen {
		panic(fmt.Sprintf("leak: a token of %d characters is too short to search for, use %d", len(token), MinLen))
	}
	sum := sha256.Sum256([]byte(token))
	forms := []Form{
		{Name: "plain", Text: token},
		{Name: "prefix", Text: token[:PrefixLen]},
		{Name: "hex", Text: hex.EncodeToString([]byte(token)), Fold: true},
		{Name: "hex of the prefix", Text: hex.EncodeToString([]byte(token[:PrefixLen])), Fold: true},
		{Name: "sha256", Text: hex.EncodeToString(sum[:]), Fold: true},
		{Name: "sha256", Text: base64.StdEncoding.EncodeToString(sum[:])},
	}
	for _, escaped := range []string{url.QueryEscape(token), url.PathEscape(token)} {
		if escaped != token {
			forms = append(forms, Form{Name: "url", Text: escaped, Fold: true})
		}
	}
	for _, text := range base64Cores(token) {
		forms = append(forms, Form{Name: "base64", Text: text})
	}
	return forms
}

// base64Cores returns what base64 text holds of the token wherever it stands in
// the encoded bytes ("user:TOKEN" shifts it): for each of the three alignments,
// in both alphabets, the characters that depend on the token alone.
func base64Cores(token string) []string {
	var cores []string
	for shift := range 3 {
		padded := strings.Repeat("\x00", shift) + token
		first := 0
		if shift > 0 {
			first = shift + 1 // characters that share bits with what stands before
		}
		last := len(padded) / 3 * 4 // whole groups; the rest shares bits with what follows
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			core := enc.EncodeToString([]byte(padded))[first:last]
			if !slices.Contains(cores, core) {
				cores = append(cores, core)
			}
		}
	}
	return cores
}

// Find returns every form of every token that appears in data, each form once
// with the line where it first appears.
func Find(data []byte, tokens ...string) []Hit {
	var hits []Hit
	folded := bytes.ToLower(data)
	for i, token := range tokens {
		for _, f := range Forms(token) {
			in, text := data, []byte(f.Text)
			if f.Fold {
				in, text = folded, bytes.ToLower(text)
			}
			if at := bytes.Index(in, text); at >= 0 {
				hits = append(hits, Hit{Token: i, Form: f.Name, Line: 1 + bytes.Count(in[:at], []byte("\n"))})
			}
		}
	}
	return hits
}
