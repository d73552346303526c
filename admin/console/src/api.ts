import { signal } from "@preact/signals";

// The admin token lives as long as the tab and is sent to this origin only.
const key = "recloser-admin-token";
let token = sessionStorage.getItem(key) ?? "";
let waiting: (() => void)[] = [];

// refused is set while the API wants a token: "missing", or "wrong" when the one
// that was given is not accepted.
export const refused = signal<"" | "missing" | "wrong">("");

// giveToken stores a token and lets go on who waits for one.
export function giveToken(value: string): void {
  token = value;
  sessionStorage.setItem(key, value);
  refused.value = "";
  const go = waiting;
  waiting = [];
  go.forEach((f) => f());
}

// tokenGiven ends when a token was given after one was refused.
export function tokenGiven(): Promise<void> {
  return refused.peek() ? new Promise((done) => waiting.push(done)) : Promise.resolve();
}

// Refusal is an answer of the API that is not 2xx.
export class Refusal extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly body: Record<string, unknown>,
  ) {
    super(message);
  }
}

// skew is how far the clock of the gateway is ahead of the browser's, in
// milliseconds. The Date header is exact to a second, so it moves by two or more.
let skew = 0;
export const gatewayNow = () => Date.now() + skew;

// send makes a request with the token and returns an answer that is 2xx.
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const used = token;
  const headers = new Headers(init.headers);
  if (used) headers.set("Authorization", "Bearer " + used);
  const resp = await fetch(path, { cache: "no-store", ...init, headers });
  const date = Date.parse(resp.headers.get("Date") ?? "");
  const ahead = date - Date.now();
  if (Math.abs(ahead - skew) > 2000) skew = ahead; // never so without a Date
  if (resp.ok) return resp;
  // A token that was given meanwhile has not been refused yet.
  if (resp.status === 401 && used === token) refused.value = used ? "wrong" : "missing";
  const body: Record<string, unknown> = await resp.json().catch(() => ({}));
  const said = typeof body.error === "string" ? body.error : `the gateway answered ${resp.status} ${resp.statusText}`;
  throw new Refusal(resp.status, said, body);
}

// get reads what is there at once: an answer that does not come is given up, so
// that a dead connection does not hold up the next try.
export async function get<T>(path: string): Promise<T> {
  return (await send(path, { signal: AbortSignal.timeout(20_000) })).json() as Promise<T>;
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  const resp = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return resp.json() as Promise<T>;
}

// backendPath is the address of one backend in the API.
export const backendPath = (name: string, action = "") =>
  `/api/v1/backends/${encodeURIComponent(name)}${action && "/" + action}`;

// said is what an error tells a person.
export function said(err: unknown): string {
  if (err instanceof Refusal) return err.message;
  return "The gateway cannot be reached: " + (err instanceof Error ? err.message : String(err));
}
