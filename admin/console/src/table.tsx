import { computed, signal, useSignalEffect } from "@preact/signals";
import { Spark, Strip } from "./charts";
import { count, counted, latency } from "./format";
import { Ago, Shape, Until } from "./parts";
import { link, open } from "./route";
import { backend, order, refreshed, state } from "./store";
import type { Backend } from "./types";

const filter = signal("");

const visible = computed(() => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return order.value;
  refreshed.value; // a status may have changed without the order
  return order.value.filter((name) => {
    const b = backend(name)!.peek();
    const text = `${name} ${state(b)} ${b.reason} ${b.credential.type}`.toLowerCase();
    return words.every((w) => text.includes(w));
  });
});

// The first rows are there at once; the others come a few at a time, so that a
// thousand of them never hold up the page.
const step = 60;
const drawn = signal(step);

function frame(): Promise<void> {
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

async function draw() {
  await frame();
  drawn.value = drawn.peek() + step;
}

// Table is every backend in a line, trouble first.
export function Table() {
  const all = order.value;
  const list = visible.value;
  useSignalEffect(() => {
    if (drawn.value < visible.value.length) void draw();
  });
  return (
    <section class="backends" aria-labelledby="backends">
      <div class="bar">
        <h2 id="backends" tabIndex={-1}>
          Backends <span class="tally">{count(all.length)}</span>
        </h2>
        {all.length > 10 && (
          <p class="filter">
            <label for="filter">Filter</label>
            <input
              id="filter"
              type="search"
              autocomplete="off"
              spellcheck={false}
              placeholder="name, state or reason"
              value={filter}
              onInput={(e) => {
                filter.value = e.currentTarget.value;
                drawn.value = step;
              }}
            />
            <span class="dim num" role="status">
              {filter.value ? `${count(list.length)} of ${count(all.length)}` : ""}
            </span>
          </p>
        )}
      </div>
      <table role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th scope="col" role="columnheader">Backend</th>
            <th scope="col" role="columnheader">State</th>
            <th scope="col" role="columnheader">Credential</th>
            <th scope="col" role="columnheader">Last hour</th>
            <th scope="col" role="columnheader" class="right">Calls</th>
            <th scope="col" role="columnheader" class="right">Saved</th>
            <th scope="col" role="columnheader">p95</th>
            <th scope="col" role="columnheader" class="right">Tools</th>
            <th scope="col" role="columnheader" class="right">In flight</th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {list.slice(0, drawn.value).map((name) => (
            <Row key={name} name={name} />
          ))}
        </tbody>
      </table>
      {!list.length && <p class="dim none">No backend matches.</p>}
    </section>
  );
}

// A click anywhere in a row opens it, unless text is being selected; for the
// keyboard the name is a link.
function click(e: MouseEvent, name: string) {
  const on = e.target as Element;
  if (on.closest("a, button") || String(getSelection())) return;
  open(name);
}

function Row({ name }: { name: string }) {
  const b = backend(name)?.value;
  if (!b) return null;
  const is = state(b);
  return (
    <tr role="row" data-backend={name} data-state={is} onClick={(e) => click(e, name)}>
      <th scope="row" role="rowheader">
        <a href={link(name)}>{name}</a>
      </th>
      <td role="cell" data-label="State" class="cell-state">
        <span class={"state is-" + is}>
          <Shape of={is} /> {is}
        </span>
        <span class="under">
          {b.reason !== "ok" && b.reason !== is && <code>{b.reason}</code>} {b.since && <Ago at={b.since} after="" />}
        </span>
      </td>
      <td role="cell" data-label="Credential">
        <Expiry b={b} />
      </td>
      <td role="cell" data-label="Last hour">
        <Strip name={name} />
      </td>
      <td role="cell" data-label="Calls" class="right num">
        {count(b.counters.calls)}
      </td>
      <td role="cell" data-label="Saved" class="right num">
        {b.counters.savedByRenewal ? <b>{count(b.counters.savedByRenewal)}</b> : <span class="dim">0</span>}
      </td>
      <td role="cell" data-label="p95" class="cell-p95">
        <span class="num">{latency(b.latency.p95) || <None />}</span>
        <Spark name={name} />
      </td>
      <td role="cell" data-label="Tools" class="right num" title={lists(b)}>
        {count(b.tools)}
      </td>
      <td role="cell" data-label="In flight" class="right num">
        {b.inFlight ? count(b.inFlight) : <span class="dim">0</span>}
      </td>
    </tr>
  );
}

export const lists = (b: Backend) =>
  `${counted(b.tools, "tool")}, ${counted(b.resources, "resource")}, ${counted(b.prompts, "prompt")}`;

const None = () => (
  <span class="dim" title="no calls in the last five minutes">
    <span class="hidden">no calls</span>
    <span aria-hidden="true">–</span>
  </span>
);

// Expiry is the kind of credential, and when it expires.
function Expiry({ b }: { b: Backend }) {
  const c = b.credential;
  const failed = c.lastRenewal?.outcome === "passing" || c.lastRenewal?.outcome === "permanent";
  return (
    <>
      <span>{c.type === "unauthenticated" || !c.type ? <span class="dim">none</span> : c.type}</span>
      <span class="under">
        {c.expires && (
          <span>
            expires <Until at={c.expires} past="now" />
          </span>
        )}
        {failed && <span class="warn"> renewal failed</span>}
      </span>
    </>
  );
}
