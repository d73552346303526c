package wire

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
