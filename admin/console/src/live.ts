import { effect, signal } from "@preact/signals";
import { gatewayNow, get, Refusal, refused, said, send, tokenGiven } from "./api";
import { events, now, order, takeEvents, takeHistory, takeStatus } from "./store";
import type { Event, History, Status } from "./types";

// Connection to the gateway. While it is lost, what the page shows is of since.
export interface Connection {
  state: "connecting" | "live" | "lost";
  since: number;
  retryAt: number; // 0: trying now
}

export const connection = signal<Connection>({ state: "connecting", since: 0, retryAt: 0 });

// problem is why the status cannot be read though the gateway answers.
export const problem = signal("");

const silence = 45_000; // three keep-alives that did not come
const grace = 1000; // a stream that is back within it was not lost
const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

// coalesced returns a func that has f run soon: at once when it did not run for
// long, never twice at a time, and less often when it takes long.
export function coalesced(f: () => Promise<void>, every: number): () => void {
  let wanted = false;
  let busy = false;
  let next = 0;
  async function run() {
    busy = true;
    while (wanted) {
      const wait = next - performance.now();
      if (wait > 0) await sleep(wait);
      wanted = false;
      const began = performance.now();
      await f().catch(() => {});
      const took = performance.now() - began;
      next = began + Math.max(every, Math.min(3 * took, 5000));
    }
    busy = false;
  }
  return () => {
    wanted = true;
    if (!busy) void run();
  };
}

// The history of many backends is large, so it is asked for after the status.
let historyDue = true;

export const refresh = coalesced(async () => {
  try {
    takeStatus(await get<Status>("/api/v1/status"));
    problem.value = "";
    if (historyDue) refreshHistory();
    historyDue = false;
  } catch (err) {
    if (err instanceof Refusal && err.code !== 401) problem.value = said(err);
    throw err;
  }
}, 250);

export const refreshHistory = coalesced(async () => takeHistory(await get<Record<string, History>>("/api/v1/history")), 5000);

// heard has the funcs that are told of each event, and with undefined of any
// other change.
export const heard = new Set<(e?: Event) => void>();

let lastID = 0;
let lastHeard = 0; // when the stream last carried anything
let wake = () => {};

// retryNow ends the wait for the next try.
export const retryNow = () => wake();

// start keeps the page up to date for as long as it is open.
export function start(): void {
  effect(() => void (refused.value || catchUp())); // at once, and with a new token
  void follow();
  setInterval(() => (now.value = gatewayNow()), 1000);
  // Counters move without an event. A page that nobody sees need not count.
  let ticks = 0;
  setInterval(() => {
    if (document.hidden || refused.peek() || connection.peek().state === "lost") return;
    refresh();
    if (order.peek().length <= 100 || ++ticks % 6 === 0) refreshHistory();
  }, 10_000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) catchUp();
  });
}

function catchUp(): void {
  historyDue = true;
  refresh();
  heard.forEach((f) => f());
}

async function follow(): Promise<never> {
  let lost = 0; // the timer that ends the grace
  for (let failures = 0; ; ) {
    try {
      const again = await read(() => {
        failures = 0;
        clearTimeout(lost);
        const was = connection.peek().state;
        connection.value = { state: "live", since: 0, retryAt: 0 };
        if (was !== "connecting") catchUp();
      });
      if (again) continue;
    } catch (err) {
      if (err instanceof Refusal && err.code === 401) {
        await tokenGiven();
        continue;
      }
    }
    const wait = Math.min(10_000, 250 * 2 ** failures) * (0.75 + Math.random() / 2);
    const silent = lastHeard > 0 && gatewayNow() - lastHeard >= silence;
    const since = connection.peek().state === "lost" ? connection.peek().since : silent ? lastHeard : gatewayNow();
    if (failures > 0) lose(since, wait);
    else lost = setTimeout(() => lose(since, 0), grace);
    failures++;
    await new Promise<void>((done) => {
      wake = done;
      setTimeout(done, wait);
    });
    if (connection.peek().state === "lost") connection.value = { ...connection.peek(), retryAt: 0 };
  }
}

function lose(since: number, wait: number): void {
  connection.value = { state: "lost", since, retryAt: wait ? gatewayNow() + wait : 0 };
}

// read follows the stream of events until it ends. It is true when the stream has
// to be asked for anew: another process, which counts from 1 again, answers now.
async function read(live: () => void): Promise<boolean> {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), silence);
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (lastID) headers["Last-Event-ID"] = String(lastID);
  try {
    const resp = await send("/api/v1/events", { headers, signal: stop.signal });
    live();
    const reader = resp.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), silence);
      lastHeard = gatewayNow();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop()!;
      if (!take(blocks)) {
        stop.abort();
        return true;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

// take shows the events of whole blocks of the stream. It is false when their ids
// are not above those that were there.
function take(blocks: string[]): boolean {
  const fresh: Event[] = [];
  let told = false;
  for (const block of blocks) {
    let kind = "message";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) kind = line.slice(6).trim();
      else if (line.startsWith("data:")) data += line.slice(5).trim();
    }
    if (!data) continue; // a keep-alive
    told = true;
    if (kind !== "event") continue;
    const e = JSON.parse(data) as Event;
    if (e.id <= lastID) {
      lastID = 0;
      events.value = [];
      return false;
    }
    lastID = e.id;
    fresh.push(e);
  }
  if (!told) return true;
  refresh();
  if (fresh.length === 0) heard.forEach((f) => f());
  for (const e of fresh) heard.forEach((f) => f(e));
  takeEvents(fresh);
  return true;
}
