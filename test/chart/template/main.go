// Command template prints the operator's chart as helm template does, with the values that
// it reads from its standard input:
//
//	go run ./template RELEASE NAMESPACE [GROUP/VERSION/KIND ...] <values.yaml
package main

import (
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/recloser-mcp/recloser/test/chart"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "template:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("name a release and a namespace")
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		return err
	}
	out, err := chart.Template("../../operator/chart", args[0], args[1], values, args[2:]...)
	if err != nil {
		return err
	}
	_, err = fmt.Print(out)
	return err
}
