// What every client does, whatever library it is made of: it looks at all that
// is served, calls, is asked, is told, and goes on calling while a token is
// revoked. It prints what it met as one line of JSON.
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The libraries are where the suite's script has installed them, not beside this
// file.
export const load = createRequire(join(process.env.RECLOSER_NPM_BIN, '..', 'clients.cjs'));

export const [, , url, revision] = process.argv;

export const note = 'mem://note';

// capabilities are those of the clients.
export const capabilities = { elicitation: { form: {} } };

// patience is how long a client waits to be told, in milliseconds.
const patience = 30_000;

// bell is rung by a handler; next is a promise of what it is rung with next.
export function bell() {
  let ring;
  let next;
  const wind = () => { next = new Promise((resolve) => { ring = resolve; }); };
  wind();
  return { ring: (what) => { ring(what); wind(); }, next: () => next };
}

function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never told of ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function pages(ask, member) {
  const all = [];
  for (let cursor; ;) {
    const page = await ask(cursor ? { cursor } : undefined);
    all.push(...page[member]);
    if (!(cursor = page.nextCursor)) return all;
  }
}

// answer is what the user says to an elicitation.
export const answer = (asked) => (request) => {
  asked.push(request.params.message);
  return { action: 'accept', content: { name: 'Ada' } };
};

// walk uses a client that is connected. call is its way to call a tool, watch its
// way to be told of changes; asked is what its user was asked, updated and listed
// are bells that its handlers ring.
export async function walk({ client, revision, call, watch, asked, updated, listed }) {
  const text = (result) => {
    if (result.isError) throw new Error(JSON.stringify(result.content));
    return result.content[0].text;
  };
  const use = async (name, args = {}, options) => text(await call({ name, arguments: args }, options));

  const met = { revision, asked, errors: [] };
  met.tools = (await pages((p) => client.listTools(p), 'tools')).map((t) => t.name);
  met.resources = (await pages((p) => client.listResources(p), 'resources')).map((r) => r.uri);
  met.prompts = (await pages((p) => client.listPrompts(p), 'prompts')).map((p) => p.name);

  met.sum = await use('everything_get-sum', { a: 2, b: 40 });
  met.read = (await client.readResource({ uri: note })).contents[0].text;
  met.prompt = (await client.getPrompt({ name: 'everything_simple-prompt' })).messages[0].content.text;
  met.progress = [];
  await use('everything_trigger-long-running-operation', { duration: 0.2, steps: 2 },
    { onprogress: (p) => met.progress.push(`${p.progress}/${p.total}`) });
  met.answered = await use('guarded_ask');

  await watch();
  const update = updated.next();
  await use('guarded_touch', { text: 'touched' });
  met.updated = await inTime(update, 'an update');
  met.touched = (await client.readResource({ uri: note })).contents[0].text;
  await use('guarded_grow', { name: 'grown' });
  for (;;) {
    const change = listed.next();
    met.grown = (await pages((p) => client.listTools(p), 'tools')).some((t) => t.name === 'guarded_grown');
    if (met.grown) break;
    await inTime(change, 'a changed list');
  }

  met.calls = 0;
  const many = (n) => Promise.all(Array.from({ length: n }, async () => {
    met.calls++;
    try {
      await use('guarded_echo', { message: 'x' });
    } catch (e) {
      met.errors.push(String(e));
    }
  }));
  await many(10);
  await use('lab_revoke');
  await many(10);
  await many(10);
  await client.close();
  console.log(JSON.stringify(met));
}
