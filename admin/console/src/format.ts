// Numbers, times and durations as text. Nothing depends on the locale of the
// browser: two people who compare screens see the same.

export function count(n: number | undefined): string {
  return (n ?? 0).toLocaleString("en-US");
}

// counted is "1 call" or "3 calls".
export function counted(n: number | undefined, one: string, many = one + "s"): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// span is a length of time in at most two units, rounded down.
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return min < 10 && s % 60 ? `${min} min ${s % 60} s` : `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

const two = (n: number) => String(n).padStart(2, "0");

// clock is the time of day in UTC, with the date when it is not today's.
export function clock(t: number, today: number): string {
  const d = new Date(t);
  const time = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  const day = d.toISOString().slice(0, 10);
  return day === new Date(today).toISOString().slice(0, 10) ? time : `${day} ${time}`;
}

// exact is the date and time in UTC, and in the zone of the browser.
export function exact(t: number): string {
  const d = new Date(t);
  const utc = d.toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const off = -d.getTimezoneOffset();
  if (off === 0) return utc;
  const local = new Date(t + off * 60_000).toISOString().slice(0, 19).replace("T", " ");
  const sign = off < 0 ? "-" : "+";
  return `${utc} (${local} UTC${sign}${two(Math.floor(Math.abs(off) / 60))}:${two(Math.abs(off) % 60)})`;
}

const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, "µs": 1e-3, "μs": 1e-3, us: 1e-3, ns: 1e-6 };

// millis reads a duration as the gateway writes it: "1m2.5s", "12ms", "0s".
export function millis(text: string | undefined): number {
  let sum = 0;
  for (const [, n, unit] of (text ?? "").matchAll(/([\d.]+)(h|ms|µs|μs|us|ns|m|s)/g)) {
    sum += Number(n) * (units[unit!] ?? 0);
  }
  return sum;
}

// duration is a length in milliseconds, three digits at most.
export function duration(ms: number): string {
  if (ms >= 60_000) return span(ms);
  if (ms >= 1000) return `${Number((ms / 1000).toPrecision(3))} s`;
  if (ms >= 1) return `${Number(ms.toPrecision(3))} ms`;
  return ms > 0 ? `${Number((ms * 1000).toPrecision(2))} µs` : "0 ms";
}

// latency is a duration of the gateway, "" for none.
export function latency(text: string | undefined): string {
  const ms = millis(text);
  return ms > 0 ? duration(ms) : "";
}

// plain makes words of a code: "half_open" is "half open".
export const plain = (code: string) => code.replaceAll("_", " ");
