// Package auth holds the credentials that recloser presents to MCP servers.
//
// A [Strategy] knows how one kind of credential is obtained. A [Source] owns one
// credential identity: it numbers the credentials it gets (generations), renews
// them when they are refused or near their end, and shares every renewal and
// every failure between all who use it. An [OutgoingAuthRegistry] turns the type
// names of a configuration into strategies; other packages may add theirs.
//
// Secrets travel as [Secret] and [Value], which no formatter, encoder or logger
// prints. Errors of this package never carry bytes that a token endpoint sent.
//
// The grammar of challenges is RFC 9110 section 11.6.1 and RFC 6750 section 3,
// of token requests RFC 6749 sections 4.4 and 5, of resource indicators RFC 8707.
package auth
