import { computed, signal } from "@preact/signals";
import { Clock, Shape, Trace } from "./parts";
import { counted, plain } from "./format";
import { link } from "./route";
import { events } from "./store";
import type { Event } from "./types";

// Timeline is a list of events, the latest first.
export function Timeline({ list, named }: { list: Event[]; named?: boolean }) {
  if (!list.length) return <p class="dim none">Nothing has happened yet.</p>;
  return (
    <ol class="timeline">
      {list.map((e) => (
        <li key={e.id} class={"level-" + e.level} data-event={e.id}>
          <Clock at={e.at} />
          <span class="kind">
            <Shape of={e.level} /> <span class="hidden">{e.level}: </span>
            {plain(e.kind)}
          </span>
          <span class="text">
            {named && e.backend ? <Linked text={e.message} name={e.backend} /> : e.message}
            {e.count && e.count > 1 ? <span class="tally"> {e.count} times</span> : null} <Trace id={e.traceId} />
          </span>
        </li>
      ))}
    </ol>
  );
}

// Linked is a message in which the backend's name leads to it. A message that does
// not have the name gets it in front.
function Linked({ text, name }: { text: string; name: string }) {
  const a = <a href={link(name)}>{name}</a>;
  const at = find(text, name);
  if (at < 0) return <>{a} {text}</>;
  return (
    <>
      {text.slice(0, at)}
      {a}
      {text.slice(at + name.length)}
    </>
  );
}

// find is where a name stands in a text, not as a part of a longer one.
function find(text: string, name: string): number {
  const part = /[\w-]/;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    if (!part.test(text[at - 1] ?? " ") && !part.test(text[at + name.length] ?? " ")) return at;
  }
  return -1;
}

const important = signal(false);
const few = 40;
const all = signal(false);
const chosen = computed(() => (important.value ? events.value.filter((e) => e.level !== "info") : events.value));

// Events is what happened in the gateway as a whole.
export function Events() {
  return (
    <section class="events" aria-labelledby="events">
      <div class="bar">
        <h2 id="events">Events</h2>
        <label class="check">
          <input type="checkbox" checked={important} onChange={(e) => (important.value = e.currentTarget.checked)} /> Warnings and
          errors only
        </label>
      </div>
      <Timeline list={all.value ? chosen.value : chosen.value.slice(0, few)} named />
      {!all.value && chosen.value.length > few && (
        <p class="more">
          <button type="button" onClick={() => (all.value = true)}>
            Show {counted(chosen.value.length - few, "more event")}
          </button>
        </p>
      )}
    </section>
  );
}
