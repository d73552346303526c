package backend

import (
	"errors"
	"regexp"
	"strings"
)

// Words that other clients' errors use for a refused credential and for a
// missing connection. They serve callers who hold an error that is not ours.
// Nothing of this module decides by them what is sent again: a tool may say
// "access denied" in a perfectly good answer.
var (
	authPattern = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
		`unauthorized`, `unauthenticated`, `not authenticated`, `authentication (failed|required|error)`,
		`authorization (failed|required)`, `access denied`, `permission denied`, `forbidden`,
		`(invalid|expired|revoked|missing|bad)[ _-](access[ _-])?(token|credentials?|api[ _-]?key)`,
		`token (has |is |was )?(expired|revoked|invalid)`,
		`(http|status|status code|code|error)[ :=(]*40[13]`, `40[13] (unauthorized|forbidden)`,
	}, `|`) + `)\b`)

	connectionPattern = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
		`connection (refused|reset|closed|aborted|timed out|lost)`, `broken pipe`, `no route to host`,
		`network is unreachable`, `host is (down|unreachable)`, `no such host`, `i/o timeout`, `dial (tcp|unix)`,
		`tls handshake timeout`, `unexpected eof`, `server closed idle connection`, `use of closed network connection`,
		`bad gateway`, `service unavailable`, `gateway time-?out`, `internal server error`,
		`(http|status|status code|code|error)[ :=(]*50[0234]`,
	}, `|`) + `)\b|\beof$`)
)

// IsAuthenticationError reports whether err, of any origin, is about a refused
// credential: an [Error] of such a kind, or an error whose text says so, such as
// "unauthorized (401)". An *RPCError never is: there the request was carried out.
func IsAuthenticationError(err error) bool {
	return foreign(err, ErrAuthenticationFailed, authPattern)
}

// IsConnectionError reports whether err, of any origin, is about a backend that
// cannot be reached or is out of order: an [Error] of such a kind, or an error
// whose text says so.
func IsConnectionError(err error) bool {
	return foreign(err, ErrBackendUnavailable, connectionPattern)
}

func foreign(err, sentinel error, pattern *regexp.Regexp) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, sentinel) {
		return true
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return false
	}
	if _, ok := errors.AsType[*RPCError](err); ok {
		return false
	}
	return pattern.MatchString(err.Error())
}
