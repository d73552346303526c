package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is where a command writes, and what that can show.
type screen struct {
	io.Writer
	terminal bool
	color    bool
	width    int // of a terminal; 0: lines may be as long as they like
}

func newScreen(w io.Writer) *screen {
	s := &screen{Writer: w, terminal: isTerminal(w)}
	if !s.terminal {
		return s
	}
	s.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	s.measure()
	return s
}

// measure looks how wide the terminal is now.
func (s *screen) measure() {
	if f, ok := s.Writer.(*os.File); ok && s.terminal {
		s.width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			s.width = max(w, 40)
		}
	}
}

// The colors.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
	bold   = "1"
)

// paint colors a text where that can be seen.
func (s *screen) paint(color, text string) string {
	if !s.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// column is one column of a table. The last ones with the highest drop go first
// where a line is too narrow for all.
type column struct {
	head  string
	right bool // numbers
	drop  int  // 0: never
}

// cell is a text with its color.
type cell struct{ text, color string }

// table writes rows under their heads, as wide as they have to be.
func (s *screen) table(b *strings.Builder, columns []column, rows [][]cell) {
	width := make([]int, len(columns))
	for i, c := range columns {
		width[i] = utf8.RuneCountInString(c.head)
		for _, r := range rows {
			width[i] = max(width[i], utf8.RuneCountInString(r[i].text))
		}
	}
	show := s.fit(columns, width)
	line := func(cells []cell) {
		var l strings.Builder
		for n, i := range show {
			if n > 0 {
				l.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cells[i].text))
			text := s.paint(cells[i].color, cells[i].text)
			switch {
			case columns[i].right:
				l.WriteString(pad + text)
			case n == len(show)-1:
				l.WriteString(text)
			default:
				l.WriteString(text + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	heads := make([]cell, len(columns))
	for i, c := range columns {
		heads[i] = cell{c.head, faint}
	}
	line(heads)
	for _, r := range rows {
		line(r)
	}
}

// fit chooses the columns for which there is room.
func (s *screen) fit(columns []column, width []int) []int {
	var show []int
	for i := range columns {
		show = append(show, i)
	}
	for s.width > 0 {
		total, worst := -2, -1
		for n, i := range show {
			total += width[i] + 2
			if columns[i].drop > 0 && (worst < 0 || columns[i].drop >= columns[show[worst]].drop) {
				worst = n
			}
		}
		if total <= s.width || worst < 0 {
			break
		}
		show = append(show[:worst], show[worst+1:]...)
	}
	return show
}

// paragraph writes a text behind its label.
func (s *screen) paragraph(b *strings.Builder, label, text string) {
	const indent = 10
	s.hanging(b, s.paint(faint, "  "+fmt.Sprintf("%-*s", indent-2, label)), indent, text)
}

// hanging writes a text behind a lead that takes as many places as indent says. On
// a terminal it is broken between words and its lines begin below each other;
// elsewhere it is one line, for those who search in it.
func (s *screen) hanging(b *strings.Builder, lead string, indent int, text string) {
	b.WriteString(lead)
	if s.width == 0 {
		b.WriteString(text + "\n")
		return
	}
	at := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > s.width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
}

// printable takes out what could steer a terminal: much of what is shown was
// written elsewhere.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// span is a duration as people say it: its two largest units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
