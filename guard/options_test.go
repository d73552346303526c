package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

func TestOptionsValidate(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, tt := range []struct {
		name    string
		options guard.Options
		says    []string // nothing when valid
	}{
		{"the zero value", guard.Options{}, nil},
		{"all set", guard.Options{MaxRetries: n(0), InitialWait: 3 * time.Second, OpenAfter: 1, WhenOpen: guard.Reject,
			CoolDown: time.Second, MaxCoolDown: time.Second}, nil},
		{"too many retries", guard.Options{MaxRetries: n(4)}, []string{"maxRetries", "0 to 3"}},
		{"fewer than none", guard.Options{MaxRetries: n(-1)}, []string{"maxRetries"}},
		{"a mode that is none", guard.Options{WhenOpen: "fail"}, []string{"whenOpen", `"fail"`, `"pass"`, `"reject"`}},
		{"a threshold below 1", guard.Options{OpenAfter: -1}, []string{"openAfter"}},
		{"a long first wait", guard.Options{InitialWait: 4 * time.Second}, []string{"initialWait", "3s"}},
		{"a maximum below the cool-down", guard.Options{CoolDown: time.Hour, MaxCoolDown: time.Minute}, []string{"maxCoolDown"}},
		{"everything at once", guard.Options{MaxRetries: n(9), OpenAfter: -2, InitialWait: -1, CoolDown: -1, MaxCoolDown: -1, WhenOpen: "x"},
			[]string{"maxRetries", "openAfter", "initialWait", "coolDown", "maxCoolDown", "whenOpen"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.options.Validate()
			if (err == nil) != (tt.says == nil) {
				t.Fatalf("Validate() = %v", err)
			}
			for _, word := range tt.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %s", err, word)
				}
			}
		})
	}
}

// TestRefusalSpeaks: the reason is in the text, and what ended the call is found.
func TestRefusalSpeaks(t *testing.T) {
	seen := map[string]bool{}
	for r := guard.Exhausted; r <= guard.Shutdown; r++ {
		err := error(&guard.Refusal{Reason: r, Err: context.Canceled})
		if !strings.Contains(err.Error(), r.String()) || seen[r.String()] {
			t.Errorf("reason %d reads %q", r, err)
		}
		seen[r.String()] = true
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v hides its cause", err)
		}
	}
}
