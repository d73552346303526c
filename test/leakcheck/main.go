// Command leakcheck searches the outputs of a run for the credentials that were
// used in it, in every disguise that package leak knows:
//
//	go run ./test/leakcheck --tokens FILE OUTPUT...
//
// FILE holds one token a line ("-" reads standard input), so that no token ever
// stands on a command line. It exits 1 when one was found, naming file, line and
// form but not the token, and 2 when a file cannot be read or there is nothing to
// search for or in.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recloser-mcp/recloser/test/leak"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("leakcheck", flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.String("tokens", "", "file with one token a line, - for standard input")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	tokens, err := readTokens(*from, stdin)
	if err != nil {
		fmt.Fprintln(stderr, "leakcheck:", err)
		return 2
	}
	files, err := outputs(flags.Args())
	if err != nil {
		fmt.Fprintln(stderr, "leakcheck:", err)
		return 2
	}
	found, size := 0, 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(stderr, "leakcheck:", err)
			return 2
		}
		size += len(data)
		for _, hit := range leak.Find(data, tokens...) {
			fmt.Fprintf(stdout, "%s: %s\n", name, hit)
			found++
		}
	}
	if found > 0 {
		fmt.Fprintf(stdout, "leakcheck: %d findings\n", found)
		return 1
	}
	fmt.Fprintf(stdout, "leakcheck: %d tokens in none of %d files (%d bytes)\n", len(tokens), len(files), size)
	return 0
}

func readTokens(from string, stdin io.Reader) ([]string, error) {
	in := stdin
	switch from {
	case "":
		return nil, errors.New("name the file of tokens with --tokens FILE")
	case "-":
	default:
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var tokens []string
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		token := lines.Text()
		if token == "" {
			continue
		}
		if len(token) < leak.MinLen {
			return nil, fmt.Errorf("the token in line %d has %d characters: too short to search for, %d is the least", n, len(token), leak.MinLen)
		}
		tokens = append(tokens, token)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, errors.New("no token to search for")
	}
	return tokens, nil
}

// outputs expands folders into the files below them.
func outputs(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no file to search in")
	}
	return files, nil
}
