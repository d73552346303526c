package guard

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Options are the settings of one guard. The zero value means the defaults
// named at each field. Options are read once, by New.
type Options struct {
	// MaxRetries is the number of sends after the first one, 0 to 3. Nil is 3.
	MaxRetries *int `yaml:"maxRetries,omitempty" json:"maxRetries,omitempty"`
	// InitialWait is the wait before retry 1 when the credential has not
	// changed; it doubles for retries 2 and 3. Default 100 ms.
	InitialWait time.Duration `yaml:"initialWait,omitempty" json:"initialWait,omitempty"`
	// OpenAfter is the number of consecutive exhausted sequences that opens the
	// breaker. Default 5.
	OpenAfter int `yaml:"openAfter,omitempty" json:"openAfter,omitempty"`
	// WhenOpen says what a call does while the breaker is open and cooling:
	// "pass" (default) sends it exactly once, "reject" fails it without a send.
	WhenOpen WhenOpen `yaml:"whenOpen,omitempty" json:"whenOpen,omitempty"`
	// RetryOn403 false makes every 403 that is not a scope challenge a plain
	// permission error, sent once. Nil is true.
	RetryOn403 *bool `yaml:"retryOn403,omitempty" json:"retryOn403,omitempty"`
	// CoolDown is how long the breaker stays open the first time. It doubles
	// at each re-opening up to MaxCoolDown. Defaults 30 s and 5 min.
	CoolDown    time.Duration `yaml:"coolDown,omitempty" json:"coolDown,omitempty"`
	MaxCoolDown time.Duration `yaml:"maxCoolDown,omitempty" json:"maxCoolDown,omitempty"`

	// OnTransition, when set, is told of every change of the breaker's phase,
	// in order, outside the guard's lock.
	OnTransition func(Transition) `yaml:"-" json:"-"`
}

// WhenOpen is what happens to a call while the breaker is open and cooling.
type WhenOpen string

// The two answers to an open breaker.
const (
	Pass   WhenOpen = "pass"
	Reject WhenOpen = "reject"
)

// Validate reports every value that is out of range, each with the fix.
func (o Options) Validate() error {
	var errs []error
	if o.MaxRetries != nil && (*o.MaxRetries < 0 || *o.MaxRetries > 3) {
		errs = append(errs, fmt.Errorf("maxRetries is %d: use 0 to 3", *o.MaxRetries))
	}
	if o.OpenAfter < 0 {
		errs = append(errs, fmt.Errorf("openAfter is %d: use 1 or more", o.OpenAfter))
	}
	if o.WhenOpen != "" && o.WhenOpen != Pass && o.WhenOpen != Reject {
		errs = append(errs, fmt.Errorf("whenOpen is %q: use %q or %q", o.WhenOpen, Pass, Reject))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"initialWait", o.InitialWait}, {"coolDown", o.CoolDown}, {"maxCoolDown", o.MaxCoolDown}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %s: use a positive duration", d.name, d.value))
		}
	}
	if o.InitialWait > 3*time.Second {
		errs = append(errs, fmt.Errorf("initialWait is %s: use 3s at most, an episode ends after %s", o.InitialWait, episodeLimit))
	}
	if o.CoolDown > 0 && o.MaxCoolDown > 0 && o.MaxCoolDown < o.CoolDown {
		errs = append(errs, fmt.Errorf("maxCoolDown %s is less than coolDown %s: raise it", o.MaxCoolDown, o.CoolDown))
	}
	return errors.Join(errs...)
}

// withDefaults returns the options with every default filled in.
func (o Options) withDefaults() Options {
	if o.MaxRetries == nil {
		n := 3
		o.MaxRetries = &n
	}
	if o.RetryOn403 == nil {
		yes := true
		o.RetryOn403 = &yes
	}
	o.InitialWait = cmp.Or(o.InitialWait, 100*time.Millisecond)
	o.OpenAfter = cmp.Or(o.OpenAfter, 5)
	o.WhenOpen = cmp.Or(o.WhenOpen, Pass)
	o.CoolDown = cmp.Or(o.CoolDown, 30*time.Second)
	o.MaxCoolDown = max(cmp.Or(o.MaxCoolDown, 5*time.Minute), o.CoolDown)
	return o
}
