package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// report is what the demo proves.
type report struct {
	OK      bool          `json:"ok"`
	Seconds float64       `json:"seconds"`
	Clock   clockReport   `json:"clock"`
	Weather weatherReport `json:"weather"`
	Vault   vaultReport   `json:"vault"`
	Faults  []string      `json:"faults,omitempty"`
}

type clockReport struct {
	Calls        int    `json:"calls"`
	Answered     int    `json:"answered"`
	ClientErrors int    `json:"clientErrors"`
	LastError    string `json:"lastError,omitempty"`
}

type weatherReport struct {
	clockReport
	RefusedCalls int `json:"refusedCalls"` // tools/call that the backend answered 401
	Renewals     int `json:"renewals"`
	Executions   int `json:"executions"` // of the tool; equal to the answered calls
}

type vaultReport struct {
	ToolsListed  int    `json:"toolsListed"`
	Calls        int    `json:"calls"`
	Explained    int    `json:"explained"` // answered with a reason and a hint
	Sends        int    `json:"sends"`
	SendsAllowed int    `json:"sendsAllowed"` // what the rules give for these calls
	Probes       int    `json:"probes"`       // of the half-open breaker
	Reason       string `json:"reason"`
	Hint         string `json:"hint"`
}

// report waits for the clients and counts.
func (t *tally) report(w *world, s *story, took time.Duration) report {
	t.clients.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	of := func(name string) clockReport {
		c := t.of(name)
		return clockReport{c.calls, c.answered, c.calls - c.answered, c.last}
	}
	vault := t.of("vault")
	r := report{
		Seconds: took.Round(100 * time.Millisecond).Seconds(),
		Clock:   of("clock"),
		Weather: weatherReport{of("weather"), w.weather.Refused("tools/call"), s.renewals["weather"], w.weather.Executions("forecast")},
		Vault: vaultReport{ToolsListed: t.tools["vault"], Calls: vault.calls, Explained: vault.explained,
			Sends: w.vault.Requests("tools/call"), SendsAllowed: sendsAllowed(vault.calls, s.halves["vault"]),
			Probes: s.halves["vault"], Reason: vault.reason, Hint: vault.hint},
	}
	r.judge(s.opened["vault"])
	return r
}

// sendsAllowed is what the guard's rules give for calls made one after the other
// against a credential that is refused for good: four sends each until five were
// exhausted, then one each, and four for each call that probed.
func sendsAllowed(calls, probes int) int {
	exhausted := min(calls, 5)
	return 4*exhausted + (calls - exhausted) + 3*probes
}

// judge looks for what must not be. What needs some time to show, as the renewals
// of weather, is asked of runs that lasted long enough.
func (r *report) judge(opened time.Time) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
		}
	}
	// One revocation every seven seconds, each refused and renewed once. The
	// first and the last may fall beside a call.
	least := max(0, int(r.Seconds/weatherRevoke.Seconds())-1)
	want(r.Clock.ClientErrors == 0, "clock: %d client errors: %s", r.Clock.ClientErrors, r.Clock.LastError)
	want(r.Weather.ClientErrors == 0, "weather: %d client errors: %s", r.Weather.ClientErrors, r.Weather.LastError)
	want(r.Weather.RefusedCalls >= least, "weather: %d refused calls, want %d: the demo shows nothing", r.Weather.RefusedCalls, least)
	want(r.Weather.Renewals >= least, "weather: %d renewals, want %d", r.Weather.Renewals, least)
	want(r.Weather.Executions == r.Weather.Answered, "weather: %d executions for %d answered calls", r.Weather.Executions, r.Weather.Answered)
	want(r.Vault.ToolsListed > 0 || r.Seconds < 2, "vault: its tools are not listed")
	want(r.Vault.Explained == r.Vault.Calls, "vault: %d of %d calls were answered with reason and hint", r.Vault.Explained, r.Vault.Calls)
	want(r.Vault.Sends <= r.Vault.SendsAllowed, "vault: %d sends, the rules give %d", r.Vault.Sends, r.Vault.SendsAllowed)
	if !opened.IsZero() {
		most := int(time.Since(opened)/(30*time.Second)) + 1
		want(r.Vault.Probes <= most, "vault: %d probes, the cool-down allows %d", r.Vault.Probes, most)
	}
	r.OK = len(r.Faults) == 0
}

func (r *report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	_, err := fmt.Fprintf(out, "\nAfter %.0f s:\n"+
		"  clock    %d calls, %d client errors\n"+
		"  weather  %d calls, %d client errors; %d calls were refused at first, %d renewals; the tool ran %d times\n"+
		"  vault    %d calls, each answered with the reason %q; %d sends, the rules allow %d\n",
		r.Seconds, r.Clock.Calls, r.Clock.ClientErrors,
		r.Weather.Calls, r.Weather.ClientErrors, r.Weather.RefusedCalls, r.Weather.Renewals, r.Weather.Executions,
		r.Vault.Calls, r.Vault.Reason, r.Vault.Sends, r.Vault.SendsAllowed)
	for _, f := range r.Faults {
		_, _ = fmt.Fprintf(out, "  FAULT    %s\n", f)
	}
	return err
}
