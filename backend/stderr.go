package backend

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/recloser-mcp/recloser/auth"
)

const (
	stderrLines = 20      // of a process that are kept
	stderrLine  = 512     // bytes of one
	stderrRead  = 8 << 10 // of a line that is looked at for secrets
)

// tail keeps the last lines that a process wrote to stderr.
type tail struct {
	secrets []string
	told    func(line string)

	mu    sync.Mutex
	lines []string
}

// read follows r to its end.
func (t *tail) read(r io.Reader) {
	in := bufio.NewReaderSize(r, stderrRead)
	for {
		line, more, err := in.ReadLine()
		if text := printable(line); text != "" {
			t.add(auth.Scrub(text, t.secrets...))
		}
		for more && err == nil { // the rest of a long line
			_, more, err = in.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

func (t *tail) add(line string) {
	if len(line) > stderrLine {
		line = strings.ToValidUTF8(line[:stderrLine], "")
	}
	t.told(line)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == stderrLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

// printable is a line as it may go to a terminal: without colours and other
// sequences of control.
func printable(line []byte) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		switch {
		case r == '\x1b' && i+1 < len(line) && line[i+1] == '[': // up to its final letter
			for i += 2; i < len(line) && (line[i] < '@' || line[i] > '~'); i++ {
			}
			size = 1
		case r == '\t':
			b.WriteByte(' ')
		case r < ' ', r >= 0x7f && r < 0xa0, r == utf8.RuneError && size == 1:
		default:
			b.Write(line[i : i+size])
		}
		i += size
	}
	return strings.TrimSpace(b.String())
}
