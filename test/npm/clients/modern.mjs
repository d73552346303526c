// A client made of @modelcontextprotocol/client, the 2.x line, which speaks
// 2026-07-28, or as it does by default the elder revisions.
import { answer, bell, capabilities, load, note, revision, url, walk } from './walk.mjs';

const { Client, StreamableHTTPClientTransport } = load('@modelcontextprotocol/client');

const stateless = revision === '2026-07-28';
const client = new Client({ name: 'modern', version: '1' },
  { capabilities, versionNegotiation: { mode: stateless ? { pin: revision } : 'legacy' } });
const asked = [];
const updated = bell();
const listed = bell();
client.setRequestHandler('elicitation/create', answer(asked));
client.setNotificationHandler('notifications/resources/updated', (n) => updated.ring(n.params.uri));
client.setNotificationHandler('notifications/tools/list_changed', () => listed.ring());
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
await walk({
  client, asked, updated, listed, revision: client.getNegotiatedProtocolVersion(),
  call: (params, options) => client.callTool(params, options),
  watch: () => (stateless
    ? client.listen({ toolsListChanged: true, resourceSubscriptions: [note] })
    : client.subscribeResource({ uri: note })),
});
