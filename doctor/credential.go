package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

// credential obtains the credential, and looks at it as far as it lets itself be
// looked at.
func (p *patient) credential(ctx context.Context) (string, *broken) {
	spec, ok := p.doc.Credential(p.b.Credential)
	if p.b.Credential == "" || !ok {
		return "None is configured, and none is asked for", nil
	}
	source, err := p.o.Registry.New(spec.Spec, auth.SourceOptions{Name: p.b.Name})
	if err != nil {
		return breaks(Configuration, "Correct "+spec.Key+".", "It cannot be made: %s.", clean(err.Error()))
	}
	p.source = source
	p.origin = originOf(spec)
	outcome, err := source.Renew(ctx, 0, false)
	c, have := source.Current()
	if !have {
		return p.unobtained(spec, outcome, err)
	}
	now := time.Now()
	said := spec.Spec.Type + ": "
	p.claims = claimsOf(c)
	switch {
	case p.claims != nil:
		said += p.claims.words(now)
	case c.Expires().IsZero():
		said += "a value that does not say how long it is valid"
	default:
		said += "valid until " + c.Expires().UTC().Format(time.RFC3339) + " (" + left(c.Expires().Sub(now)) + ")"
	}
	if age := p.age(spec, now); age != "" {
		said += "; " + age
	}
	switch {
	case p.claims == nil:
	case !p.claims.expires.IsZero() && !now.Before(p.claims.expires):
		return breaks(Authentication, p.replace(spec, c.Renewable()), "It has expired: %s.", said)
	case now.Before(p.claims.begins.Add(-time.Minute)):
		return breaks(Authentication, "Set the clock of this machine, or that of the issuer.",
			"It is valid from %s on, and here it is %s: %s.", p.claims.begins.Format(time.RFC3339), now.UTC().Format(time.RFC3339), said)
	}
	return said, nil
}

// originOf says where a given credential is kept; empty for one that is fetched.
func originOf(c config.Credential) string {
	if files := filesOf(c); len(files) > 0 {
		return "the file " + strings.Join(files, ", ")
	}
	return c.Key + ", or the variable that it takes it from"
}

// filesOf are the files that the secrets of a credential are in.
func filesOf(c config.Credential) []string {
	if c.Spec.Decode == nil {
		return nil
	}
	switch c.Spec.Type {
	case "bearer":
		var o auth.BearerOptions
		if c.Spec.Decode(&o) == nil {
			return o.Token.Files()
		}
	case "header":
		var o auth.HeaderOptions
		var all []string
		if c.Spec.Decode(&o) == nil {
			for _, v := range o.Headers {
				all = append(all, v.Files()...)
			}
		}
		return all
	case "client_credentials":
		var o auth.ClientCredentialsOptions
		if c.Spec.Decode(&o) == nil {
			return o.ClientSecret.Files()
		}
	}
	return nil
}

// age says when the files of a credential were written last.
func (p *patient) age(c config.Credential, now time.Time) string {
	var parts []string
	for _, file := range filesOf(c) {
		if info, err := os.Stat(file); err == nil {
			parts = append(parts, fmt.Sprintf("%s was written %s ago", file, short(now.Sub(info.ModTime()))))
		}
	}
	return strings.Join(parts, ", ")
}

// replace is how another credential is put in the place of this one.
func (p *patient) replace(c config.Credential, renewable bool) string {
	switch {
	case renewable:
		return "The token server issues tokens that are not valid here: compare its clock with this one, and look at its log."
	case len(filesOf(c)) > 0:
		return "Put a new one into " + p.origin + ": it is taken up by itself."
	}
	return "Put a new one into " + p.origin + "; then start the gateway again, or run `recloser reload` when it stands in the configuration itself."
}

// unobtained explains why there is no credential.
func (p *patient) unobtained(c config.Credential, outcome auth.Outcome, err error) (string, *broken) {
	said := "There is none to send"
	if err != nil {
		said += ": " + clean(err.Error())
	}
	var e *auth.RenewError
	if !errors.As(err, &e) {
		return breaks(Authentication, "Put one into "+p.origin+".", "%s.", said)
	}
	fix := "Check that the token server runs and can be reached from here, and that tokenURL of " + c.Key + " is its address."
	switch {
	case e.Code == "invalid_client" || e.Code == "unauthorized_client":
		fix = "Correct clientID and clientSecret of " + c.Key + ": the token server does not accept them."
	case e.Code == "invalid_scope":
		fix = "Correct scopes of " + c.Key + ": the token server does not give them to this client."
	case e.Code == "invalid_target":
		fix = "Correct resource of " + c.Key + ": the token server does not know it."
	case e.Code == "invalid_grant" || outcome == auth.Permanent:
		fix = "Sign in again at the token server, or give " + c.Key + " another client."
	case e.Status >= 400 && e.Status < 500 && e.Status != 429:
		fix = "Correct tokenURL of " + c.Key + ", and its clientAuth: what answers there does not take the request."
	}
	return breaks(Authentication, fix, "%s.", said)
}
