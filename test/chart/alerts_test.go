package chart

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

var namedLabel = regexp.MustCompile(`\$labels\.(\w+)`)

// Prometheus takes the alerts, and what they say names labels that their results have.
func TestAlertsCanBeEvaluated(t *testing.T) {
	text, err := os.ReadFile("../../operator/chart/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			n++
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
			if err != nil {
				t.Errorf("%s: %v", rule.Alert, err)
				continue
			}
			if expr.Type() != parser.ValueTypeVector {
				t.Errorf("%s: its expression is a %s, not a vector", rule.Alert, expr.Type())
			}
			has := labelsOf(expr)
			for name, text := range rule.Annotations {
				for _, m := range namedLabel.FindAllStringSubmatch(text, -1) {
					if !slices.Contains(has, m[1]) {
						t.Errorf("%s: its %s names label %s, and its results have only %v", rule.Alert, name, m[1], has)
					}
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d alerts", n)
	}
}

// labelsOf are the labels that tell results of an expression apart, as far as the
// expression says: those it aggregates by, or matches another vector on. A vector that
// is compared comes first in these alerts.
func labelsOf(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.AggregateExpr:
		return e.Grouping
	case *parser.ParenExpr:
		return labelsOf(e.Expr)
	case *parser.BinaryExpr:
		if m := e.VectorMatching; m != nil && m.On {
			return m.MatchingLabels
		}
		return labelsOf(e.LHS)
	}
	return nil
}
