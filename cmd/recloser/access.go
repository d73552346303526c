package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

// The variables that say where the gateway is.
const (
	adminVariable = "RECLOSER_ADMIN"
	tokenVariable = "RECLOSER_ADMIN_TOKEN"
)

// askLimit bounds a question to the gateway. An action waits for its end, which
// is that of a probe or a renewal.
const (
	askLimit = 15 * time.Second
	actLimit = 2 * time.Minute
)

// access is how a command reaches the gateway that runs.
type access struct {
	url, tokenFile, file string
	// examines is true for a command that is given a configuration for another
	// purpose than to find the gateway: then the variable goes before it.
	examines bool
}

const accessHelp = "The gateway is asked at the address of --admin, else that of the configuration, else that of the\n" +
	"variable RECLOSER_ADMIN, else http://" + config.DefaultAdminListen + "; with the token of --admin-token-file, else that\n" +
	"of the variable RECLOSER_ADMIN_TOKEN, else that of the configuration."

// flags adds the flags that all commands have which ask a gateway.
func (a *access) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.url, "admin", "", "address of the gateway's admin listener")
	c.Flags().StringVar(&a.tokenFile, "admin-token-file", "", "file with the token of the admin listener")
	c.Flags().StringVarP(&a.file, "config", "c", "", "configuration of the gateway, which has both")
}

// client makes the client for the gateway that is meant.
func (a *access) client() (*admin.Client, error) {
	var doc *config.Document
	if a.file != "" {
		var err error
		if doc, err = load(a.file, io.Discard, ""); err != nil {
			return nil, err
		}
	}
	return a.clientFor(doc)
}

// clientFor makes the client of a document that was read already, nil: of none.
func (a *access) clientFor(doc *config.Document) (*admin.Client, error) {
	c := &admin.Client{URL: a.url}
	if a.examines {
		c.URL = cmp.Or(c.URL, os.Getenv(adminVariable))
	}
	if c.URL == "" && doc != nil {
		address, err := reachable(doc.Admin.Listen)
		if err != nil {
			return nil, err
		}
		c.URL = address
	}
	c.URL = cmp.Or(c.URL, os.Getenv(adminVariable), config.DefaultAdminListen)
	if !strings.Contains(c.URL, "://") {
		c.URL = "http://" + c.URL
	}
	switch token := os.Getenv(tokenVariable); {
	case a.tokenFile != "":
		s, err := auth.NewFileValue(a.tokenFile).Resolve()
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("recloser: --admin-token-file: %w", err)}
		}
		c.Token = s
	case token != "":
		c.Token = auth.NewSecret(token)
	case doc != nil && !doc.Admin.Token.IsZero():
		s, err := doc.Admin.Token.Resolve()
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("recloser: admin.token: %w", err)}
		}
		if !strings.HasPrefix(s.Reveal(), "sha256:") { // else it is only the digest
			c.Token = s
		}
	}
	return c, nil
}

// reachable turns an address to listen on into one to call.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", &exitError{exitUsage, fmt.Errorf("recloser: admin.listen is %s, which another port takes the place of at each start: give the address with --admin", listen)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// refused turns what went wrong with the gateway into an error with its exit code
// and the way out.
func refused(err error) error {
	var e *admin.Error
	if !errors.As(err, &e) {
		return &exitError{exitFailed, fmt.Errorf("recloser: %w", err)}
	}
	switch e.Kind {
	case admin.Unreachable:
		return &exitError{exitUnreachable, fmt.Errorf("recloser: no gateway answers at %s: %s\n"+
			"Start one with `recloser serve --config FILE`, or say where it is with --admin URL or --config FILE", e.URL, e.Message)}
	case admin.Unauthorized:
		if e.Status == 403 { // it is not about the token
			return &exitError{exitAuthentication, fmt.Errorf("recloser: %w", e)}
		}
		return &exitError{exitAuthentication, fmt.Errorf("recloser: %w\n"+
			"Give the token in the variable %s, or in a file with --admin-token-file FILE", e, tokenVariable)}
	case admin.NotFound:
		return &exitError{exitUsage, fmt.Errorf("recloser: %s", e.Message)}
	}
	return &exitError{exitFailed, fmt.Errorf("recloser: %s", e.Message)}
}

// within bounds the context of a command.
func within(c *cobra.Command, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Context(), limit)
}

// meant is the name that was probably meant, with the words around it; empty when
// none is near.
func meant(word string, names []string) string {
	all := &cobra.Command{SuggestionsMinimumDistance: min(3, len(word)/2)}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, " \t") { // it would be cut
			continue
		}
		all.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	if found := all.SuggestionsFor(word); len(found) > 0 {
		return fmt.Sprintf("; did you mean %q?", found[0])
	}
	return ""
}
