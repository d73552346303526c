package auth

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every printer of a secret shows.
const redacted = "[redacted]"

// Secret is a string that must not be shown. Under every fmt verb and in JSON,
// YAML, XML, gob, text and slog it is "[redacted]", whatever its length. The zero
// value is the empty secret. It is immutable and safe for concurrent use.
//
// The bytes sit behind a func, because fmt and other printers read unexported
// fields of enclosing structs by reflection, without calling any method: a func
// is the one thing they all leave alone. For the same reason reflect.DeepEqual
// never finds two secrets equal: use Equal (go-cmp does so by itself).
type Secret struct {
	reveal func() string
}

// NewSecret hides s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return s }}
}

// Reveal returns the hidden string. Call it only where the bytes go onto the
// wire, and keep the result out of variables that live longer.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Equal compares two secrets in a time that depends only on their lengths.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// Format writes "[redacted]" for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// MarshalText gives "[redacted]" to JSON, YAML, XML and text encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode gives "[redacted]" to gob.
func (s Secret) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives "[redacted]" to slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
