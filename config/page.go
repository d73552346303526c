package config

// pageSelection is the part of docs/configuration.md about what is served, and
// under which names.
const pageSelection = `
## What is served

` + "```yaml" + `
mcpServers:
  github:
    url: https://github.example.com/mcp
    tools:
      allow: ["*"]
      deny: [delete_*]
      rename: {search_code: code}
      pin: {create_issue: "sha256:6b6b…"}
    resources:
      deny: ["repo://secret/*"]
` + "```" + `

What a backend offers goes through its rules in this order:

1. **` + "`deny`, then `allow`" + `.** Globs have ` + "`*`, `?` and `[a-z]`; `\\`" + ` takes the meaning from the character behind it. Unlike in a shell, ` + "`*` and `?`" + ` stand for slashes too. What is left out is not listed and cannot be called, neither at ` + "`/mcp`" + ` nor at ` + "`/mcp/NAME`" + `, also while the backend has not been listed yet.
2. **` + "`pin`" + `.** A tool or prompt whose definition is not the pinned one is left out. This is what protects from a server that changes, after you looked at it, what a tool says about itself.
3. **` + "`rename`" + `.** The new name holds at both endpoints; with ` + "`conflicts: prefix`" + ` it is ` + "`github_code`" + ` at ` + "`/mcp`" + `. A new name that another tool of the backend has, or with other characters than letters, digits, ` + "`_`, `.` and `-`" + `, is not given.

Rules that name what the backend does not have, and renames that cannot be made, are logged and change nothing else.

**Digests.** A definition's digest is the SHA-256 of its JSON without white space and with the members of every object in order of their names; the order in which a server writes them does not matter, everything else does. The log has it to copy: write 64 zeros as the pin, or any other wrong digest, and the line about the tool has the right one.
When a definition changes under its name while the gateway runs, the log has a line with the old and the new digest, pinned or not.

**Resources.** URIs are locators and are not renamed; a URI that two backends have belongs to the first of them in the document. The rules judge URIs by their text, a template by its own, and what a client makes of a template once more, with and without percent-escapes; paths with ` + "`..`" + ` in them are refused where there are rules. They choose what is offered. They are no fence around a server that understands other spellings of the same URI.
`
