import { signal } from "@preact/signals";

// The hash of the address says which backend is open: #backend=NAME. So it can be
// linked, and the browser's back button closes it.

const prefix = "#backend=";

function read(): string {
  if (!location.hash.startsWith(prefix)) return "";
  try {
    return decodeURIComponent(location.hash.slice(prefix.length));
  } catch {
    return "";
  }
}

// opened is the name of the backend that is open, "" for none.
export const opened = signal(read());

addEventListener("hashchange", () => (opened.value = read()));
addEventListener("popstate", () => (opened.value = read()));

export const link = (name: string) => prefix + encodeURIComponent(name);

export function open(name: string): void {
  location.hash = link(name);
}

export function close(): void {
  if (!opened.peek()) return;
  history.pushState(null, "", location.pathname + location.search);
  opened.value = "";
}
