// A client made of @modelcontextprotocol/sdk, the 1.x line, which speaks the
// revisions up to 2025-11-25.
import { answer, bell, capabilities, load, note, url, walk } from './walk.mjs';

const { Client } = load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { ElicitRequestSchema, ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema } =
  load('@modelcontextprotocol/sdk/types.js');

const client = new Client({ name: 'elder', version: '1' }, { capabilities });
const asked = [];
const updated = bell();
const listed = bell();
client.setRequestHandler(ElicitRequestSchema, answer(asked));
client.setNotificationHandler(ResourceUpdatedNotificationSchema, (n) => updated.ring(n.params.uri));
client.setNotificationHandler(ToolListChangedNotificationSchema, () => listed.ring());
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
await walk({
  client, asked, updated, listed, revision: transport.protocolVersion,
  call: (params, options) => client.callTool(params, undefined, options),
  watch: () => client.subscribeResource({ uri: note }),
});
