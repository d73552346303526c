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

## Names

At ` + "`/mcp/NAME`" + ` a backend has its own names. At ` + "`/mcp`" + ` all backends share one list, and ` + "`catalog.conflicts`" + ` says how:

| strategy | names | when two backends have the same |
|---|---|---|
| ` + "`prefix`" + ` | ` + "`github_search`" + ` | cannot happen; a name never depends on which other backends there are |
| ` + "`auto`" + ` | ` + "`search`" + ` | both get their prefix, and keep it as long as anybody has such a name |
| ` + "`priority`" + ` | ` + "`search`" + ` | the first in ` + "`catalog.priority`" + ` has it, the other's is left out and reported |
| ` + "`manual`" + ` | ` + "`search`" + ` | neither is listed, and the log has the lines to write: ` + "`rename` or `deny`" + ` for one of them |

A name that clients may know **never passes to another backend while the gateway runs**, as long as any backend has such a name. They get an error, not somebody else's tool. What follows:

- Backends come up at their own pace. With ` + "`priority`" + `, the names of a backend wait until all backends before it have been listed, 5 seconds after the start at most; ` + "`/mcp/NAME`" + ` and other backends wait for nothing. A backend that comes later than that does not get a name that another one got by then; this is reported, and the next start gives it back. With ` + "`auto` and `manual`" + `, a name that is there alone is listed until the other comes.
- When a backend stops listing a name, the name is not given to another one that has it; it is when the gateway starts again, or once nobody has it.
- A backend in trouble keeps what it listed last, and its names.

Under ` + "`auto`" + `, a name that begins like the prefix of another configured backend gets a prefix in any case. Names longer than ` + "`catalog.maxNameLength`" + ` are cut and end in 8 characters made from the whole name, the same at every start; those with other characters than letters, digits, ` + "`_`, `.` and `-`" + ` likewise. Both are reported.
`
