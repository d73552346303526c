import { computed, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { clock, exact, span } from "./format";
import { now, type State } from "./store";
import type { Fact, Level } from "./types";

// Small things that several places show.

type Kind = State | Level | "saved";

// Each state has a shape of its own, so that it can be told without its colour.
const shapes: Record<Kind, string> = {
  ready: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z",
  degraded: "M6 .8 11.6 11H.4z",
  unavailable: "M1 1h10v10H1zM3.2 4.3 4.9 6 3.2 7.7l1.1 1.1L6 7.1l1.7 1.7 1.1-1.1L7.1 6l1.7-1.7-1.1-1.1L6 4.9 4.3 3.2z",
  unknown: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 1.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8z",
  paused: "M2 1h3v10H2zM7 1h3v10H7z",
  disabled: "M1 4.9h10v2.2H1z",
  saved: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 1.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM6 4a2 2 0 1 1 0 4 2 2 0 0 1 0-4z",
  info: "M6 3.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  warning: "M6 .8 11.6 11H.4z",
  error: "M1 1h10v10H1zM3.2 4.3 4.9 6 3.2 7.7l1.1 1.1L6 7.1l1.7 1.7 1.1-1.1L7.1 6l1.7-1.7-1.1-1.1L6 4.9 4.3 3.2z",
};

export function Shape({ of }: { of: Kind }) {
  return (
    <svg class={"shape is-" + of} viewBox="0 0 12 12" aria-hidden="true">
      <path d={shapes[of]} fill-rule="evenodd" />
    </svg>
  );
}

// Ago is a time as a distance from now, which moves by itself without rendering
// anything again.
export function Ago({ at, field, after = " ago" }: { at?: string; field?: string; after?: string }) {
  const t = at ? Date.parse(at) : NaN;
  const text = useMemo(() => computed(() => span(now.value - t) + after), [t, after]);
  if (!(t > 0)) return null;
  return (
    <time dateTime={at} title={exact(t)} data-field={field}>
      {text}
    </time>
  );
}

// Until is a countdown to a time. What it says afterwards is past.
export function Until({ at, past }: { at?: string; past: string }) {
  const t = at ? Date.parse(at) : NaN;
  const text = useMemo(() => computed(() => (t > now.value ? "in " + span(t - now.value + 999) : past)), [t, past]);
  if (!(t > 0)) return null;
  return (
    <time dateTime={at} title={exact(t)}>
      {text}
    </time>
  );
}

// Clock is a time of day.
export function Clock({ at }: { at: string }) {
  const t = Date.parse(at);
  return (
    <time dateTime={at} title={exact(t)} class="num">
      {clock(t, now.peek())}
    </time>
  );
}

const spoken = signal("");

// announce has a screen reader say something short.
export function announce(text: string): void {
  spoken.value = "";
  setTimeout(() => (spoken.value = text), 50);
}

// Spoken says it. An open dialog has one of its own, since nothing outside of it
// is heard.
export function Spoken() {
  return (
    <p class="hidden" role="status">
      {spoken}
    </p>
  );
}

async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without TLS, on an address that is not loopback, there is only the old way.
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  if (!ok) throw new Error("the browser does not permit it");
}

// Copy has no text of its own, so that the words around it stay as they are.
export function Copy({ text, what }: { text: string; what: string }) {
  const done = useMemo(() => signal(false), []);
  function click(e: Event) {
    e.preventDefault();
    e.stopPropagation();
    copy(text).then(
      () => {
        announce("Copied");
        done.value = true;
        setTimeout(() => (done.value = false), 1500);
      },
      (err: Error) => announce("Not copied: " + err.message),
    );
  }
  return (
    <button type="button" class="copy" aria-label={"Copy " + what} title={"Copy " + what} onClick={click}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={done.value ? "m2.5 8.5 3.5 3.5 7.5-8" : "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3"} />
      </svg>
    </button>
  );
}

// Words shows a text of the gateway as it is. What stands in backticks is a
// command; the backticks stay in the text, unseen.
export function Words({ text, field }: { text?: string; field?: string }) {
  return (
    <span class="words" data-field={field}>
      {(text ?? "").split(/(`[^`]+`)/).map((part) => {
        if (part.length < 3 || part[0] !== "`") return part;
        const command = part.slice(1, -1);
        return (
          <span class="command">
            <span class="hidden">`</span>
            <code>{command}</code>
            <span class="hidden">`</span>
            <Copy text={command} what={command} />
          </span>
        );
      })}
    </span>
  );
}

// Trace is the beginning of a trace's id; all of it can be copied.
export function Trace({ id }: { id?: string }) {
  if (!id) return null;
  return (
    <span class="trace">
      <span class="dim">trace</span> <code title={id}>{id.slice(0, 8)}</code>
      <Copy text={id} what={"trace id " + id} />
    </span>
  );
}

// Yes is a fact in a word: yes, no or not known.
export function Yes({ fact }: { fact: Fact }) {
  const is: State = fact === null ? "unknown" : fact ? "ready" : "unavailable";
  return (
    <>
      <Shape of={is} /> {fact === null ? "not known" : fact ? "yes" : "no"}
    </>
  );
}

// Line is one of a list of facts, left out when it has no value.
export function Line({ name, children }: { name: string; children: ComponentChildren }) {
  if (children === undefined || children === "" || children === false || children === null) return null;
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
