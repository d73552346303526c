import { batch, computed, signal, type Signal } from "@preact/signals";
import { gatewayNow } from "./api";
import type { Backend, Event, History, Minute, Status } from "./types";

// Each backend has a signal of its own, which changes only when the backend did:
// a new status of a thousand backends renders the rows that differ.

export type Gateway = Omit<Status, "backends">;

export const gateway = signal<Gateway | null>(null);
export const order = signal<string[]>([]); // names, trouble first
export const needs = signal<string[]>([]); // those with a card
export const refreshed = signal(0); // counts the status answers
export const events = signal<Event[]>([]); // the latest first
export const now = signal(gatewayNow()); // steps once a second

const backends = new Map<string, Signal<Backend>>();
const histories = new Map<string, Signal<Minute[]>>();

// backend is the signal of a backend, undefined for one that does not exist.
export const backend = (name: string) => backends.get(name);

// minutes is the last hour of a backend, or of the gateway for "".
export function minutes(name: string): Signal<Minute[]> {
  let s = histories.get(name);
  if (!s) histories.set(name, (s = signal([])));
  return s;
}

export const anyBackend = computed(() => order.value.length > 0);

// state is the word for a backend's shape and colour.
export type State = Backend["status"] | "paused" | "disabled";

export function state(b: Backend): State {
  if (b.paused) return "paused";
  return b.reason === "disabled" ? "disabled" : b.status;
}

const rank: Record<State, number> = { unavailable: 0, degraded: 1, unknown: 2, ready: 3, paused: 4, disabled: 5 };

export const inTrouble = (b: Backend) => rank[state(b)] < 2;

// takeStatus shows a new status.
export function takeStatus(s: Status): void {
  batch(() => {
    const { backends: all, ...rest } = s;
    const list = all ?? [];
    const old = gateway.peek();
    if (!same(old, rest)) gateway.value = rest;
    const seen = new Set<string>();
    for (const b of list) {
      seen.add(b.name);
      const is = backends.get(b.name);
      if (!is) backends.set(b.name, signal(b));
      else if (!same(is.peek(), b)) is.value = b;
    }
    // sort is stable: within a rank the order is the configuration's.
    const sorted = [...list].sort((a, b) => rank[state(a)] - rank[state(b)]);
    put(order, sorted.map((b) => b.name));
    put(needs, sorted.filter(inTrouble).map((b) => b.name));
    for (const name of backends.keys()) {
      if (seen.has(name)) continue;
      backends.delete(name);
      histories.delete(name);
    }
    refreshed.value++;
  });
}

// takeHistory shows a new last hour.
export function takeHistory(all: Record<string, History>): void {
  batch(() => {
    for (const [name, h] of Object.entries(all)) put(minutes(name), h.minutes ?? []);
  });
}

const mostEvents = 300;

// takeEvents adds events that came in order.
export function takeEvents(list: Event[]): void {
  events.value = [...list.reverse(), ...events.peek()].slice(0, mostEvents);
}

function put<T>(s: Signal<T>, value: T): void {
  if (!same(s.peek(), value)) s.value = value;
}

// same is true for JSON values that are equal.
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const x = a as Record<string, unknown>;
  const y = b as Record<string, unknown>;
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((k) => k in y && same(x[k], y[k]));
}
