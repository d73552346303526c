package auth

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
)

// maxFile bounds what is read of one secret file, in bytes.
const maxFile = 1 << 20

// Value is a configured string that bears a secret: literal text, references
// "${file:PATH}" to the contents of files, or both mixed. "$${" stands for a
// literal "${". Values are immutable after UnmarshalText and print as "[redacted]"
// everywhere, as a [Secret] does. The zero value resolves to the empty secret.
type Value struct {
	parts func() []part // behind a func for the reason given at Secret
}

// part is literal text, or the path of a file.
type part struct {
	text string
	file bool
}

// NewValue makes a value of literal text; nothing in it is a reference.
func NewValue(literal string) Value {
	if literal == "" {
		return Value{}
	}
	return valueOf([]part{{text: literal}})
}

// NewFileValue makes a value that is the content of one file.
func NewFileValue(path string) Value { return valueOf([]part{{text: path, file: true}}) }

func valueOf(parts []part) Value {
	if len(parts) == 0 {
		return Value{}
	}
	return Value{parts: func() []part { return parts }}
}

// UnmarshalText parses a configured string. A "${" that starts no file reference
// is an error, so that an unresolved variable never travels as a credential; the
// error does not show the text.
func (v *Value) UnmarshalText(text []byte) error {
	var parts []part
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, part{text: literal.String()})
			literal.Reset()
		}
	}
	for s := string(text); s != ""; {
		switch {
		case strings.HasPrefix(s, "$${"):
			literal.WriteString("${")
			s = s[len("$${"):]
		case strings.HasPrefix(s, "${file:"):
			path, rest, closed := strings.Cut(s[len("${file:"):], "}")
			if !closed {
				return errors.New(`"${file:" lacks its closing "}"`)
			}
			if path == "" {
				return errors.New(`"${file:}" names no file: write ${file:PATH}`)
			}
			flush()
			parts = append(parts, part{text: path, file: true})
			s = rest
		case strings.HasPrefix(s, "${"):
			return errors.New(`"${" starts an unknown reference: use ${file:PATH}, or write "$${" for a literal "${"`)
		default:
			literal.WriteByte(s[0])
			s = s[1:]
		}
	}
	flush()
	*v = valueOf(parts)
	return nil
}

// Resolve reads the files and joins the parts. One newline at the end of a file
// is not part of the secret. Errors name the file and wrap the cause (fs.ErrNotExist
// and others); they never show content.
func (v Value) Resolve() (Secret, error) {
	var b strings.Builder
	for _, p := range v.list() {
		if !p.file {
			b.WriteString(p.text)
			continue
		}
		s, err := readSecret(p.text)
		if err != nil {
			return Secret{}, err
		}
		b.WriteString(s)
	}
	return NewSecret(b.String()), nil
}

// Files lists the files that the value refers to, each once.
func (v Value) Files() []string {
	var files []string
	for _, p := range v.list() {
		if p.file && !slices.Contains(files, p.text) {
			files = append(files, p.text)
		}
	}
	return files
}

// IsZero reports whether the value is empty text.
func (v Value) IsZero() bool { return v.parts == nil }

// Equal reports whether two values are written alike: the same text and the same
// files. It reads no file.
func (v Value) Equal(o Value) bool { return slices.Equal(v.list(), o.list()) }

func (v Value) list() []part {
	if v.parts == nil {
		return nil
	}
	return v.parts()
}

// Format writes "[redacted]" for every verb and flag.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (v Value) String() string { return redacted }

// GoString returns "[redacted]".
func (v Value) GoString() string { return redacted }

// MarshalText gives "[redacted]" to JSON, YAML, XML and text encoders.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode gives "[redacted]" to gob.
func (v Value) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives "[redacted]" to slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// readSecret reads a regular file. Anything else is refused before it is opened:
// opening a pipe without a writer would block for ever.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("secret file %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("secret file %s: more than %d bytes", path, maxFile)
	}
	s := strings.TrimSuffix(string(b), "\n")
	return strings.TrimSuffix(s, "\r"), nil
}
