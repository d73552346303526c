// Package config reads the one document that configures a gateway: the
// mcpServers map that MCP clients share, with keys of our own beside it, as YAML
// or JSON. A file pasted from a client is a valid document.
//
// The package is the only place where the environment is read. It finds every
// mistake at once and says of each where it stands and what to do; no message
// holds the value of a variable, of a file or of a secret field. Settings of a
// package below are that package's own option structs, so a setting is described
// and checked where it takes effect.
//
// Credentials are not constructed here: the document has an auth.Spec for each
// distinct credential, and backends name theirs by key. A Spec remembers the
// variables it was read with.
package config

//go:generate go test . -run "TestConfigurationPage|TestSchemaFile" -update
