import { count, duration, millis } from "./format";
import { minutes } from "./store";
import type { BackendStatus, Minute } from "./types";

// The charts are SVG made of a few paths each, so that a thousand rows with two of
// them stay light. Each says in words what it draws.

const states: BackendStatus[] = ["unavailable", "degraded", "unknown", "ready"];
// The worse a minute was the higher it is drawn: the strip can be read without
// colour.
const heights: Record<BackendStatus, number> = { ready: 5, unknown: 3, degraded: 9, unavailable: 14 };

// hour is sixty minutes, the first of them unknown where there are fewer.
function hour(list: Minute[]): (Minute | undefined)[] {
  return list.length < 60 ? [...Array<undefined>(60 - list.length), ...list] : list.slice(-60);
}

// runs draws the minutes in one state, those side by side as one.
function runs(list: (Minute | undefined)[], s: BackendStatus): string {
  let d = "";
  for (let i = 0; i < list.length; i++) {
    if (list[i]?.status !== s) continue;
    let end = i;
    while (list[end + 1]?.status === s) end++;
    d += `M${i} ${14 - heights[s]}h${end - i + 1}v${heights[s]}h${i - end - 1}z`;
    i = end;
  }
  return d;
}

// Strip is the state of a backend in each minute of the last hour.
export function Strip({ name }: { name: string }) {
  const list = hour(minutes(name).value);
  const parts = states
    .map((s) => ({ s, n: list.filter((m) => m?.status === s).length }))
    .filter(({ n }) => n > 0);
  if (!parts.length) return <span class="dim">no history yet</span>;
  const label = "Last hour: " + parts.map(({ s, n }) => `${n} min ${s}`).join(", ");
  return (
    <svg class="strip" viewBox="0 0 60 14" preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      <path class="base" d="M0 13h60v1H0z" />
      {parts.map(({ s }) => (
        <path class={"is-" + s} d={runs(list, s)} />
      ))}
    </svg>
  );
}

// Spark is the p95 of each minute of the last hour.
export function Spark({ name }: { name: string }) {
  const list = hour(minutes(name).value).map((m) => (m && m.calls > 0 ? millis(m.p95) : 0));
  const known = list.filter((v) => v > 0);
  if (known.length < 2) return null;
  const top = Math.max(...known);
  const label = `p95 over the last hour: ${duration(Math.min(...known))} to ${duration(top)}`;
  let d = "";
  let pen = "M";
  list.forEach((v, i) => {
    if (v === 0) {
      pen = "M"; // a minute without calls is a gap
      return;
    }
    const y = (15 - (v / top) * 13).toFixed(1);
    d += `${pen}${i + 0.5} ${y}${list[i + 1] ? "" : "h.01"}`;
    pen = "L";
  });
  return (
    <svg class="spark" viewBox="0 0 60 16" preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      <path d={d} />
    </svg>
  );
}

// Calls is a bar for each minute: the calls, those that failed, those saved.
export function Calls({ name }: { name: string }) {
  const all = minutes(name).value;
  const list = hour(all);
  const top = Math.max(1, ...list.map((m) => m?.calls ?? 0));
  const sum = (of: "calls" | "failed" | "saved") => all.reduce((n, m) => n + m[of], 0);
  const label = `Calls in the last hour: ${count(sum("calls"))}, of them failed ${count(sum("failed"))}, saved by renewal ${count(sum("saved"))}`;
  const bars = (from: (m: Minute) => number, to: (m: Minute) => number) =>
    list
      .map((m, i) => {
        if (!m) return "";
        const y = (n: number) => +(40 - (n / top) * 38).toFixed(2);
        const [a, b] = [from(m), to(m)];
        return b > a ? `M${i + 0.1} ${y(b)}h.8V${Math.max(y(a), y(b) + 1)}h-.8z` : "";
      })
      .join("");
  return (
    <figure class="calls">
      <svg viewBox="0 0 60 40" preserveAspectRatio="none" role="img" aria-label={label}>
        <path class="base" d="M0 39.6h60v.4H0z" />
        <path class="served" d={bars((m) => m.failed + m.saved, (m) => m.calls)} />
        <path class="is-unavailable" d={bars(() => 0, (m) => m.failed)} />
        <path class="saved" d={bars((m) => m.failed, (m) => m.failed + m.saved)} />
      </svg>
      <figcaption>
        <span>
          Last hour: <b class="num">{count(sum("calls"))}</b> calls, at most {count(top)} a minute
        </span>
        <span>
          <i class="key failed" /> <b class="num">{count(sum("failed"))}</b> failed
        </span>
        <span>
          <i class="key saved" /> <b class="num">{count(sum("saved"))}</b> saved by renewal
        </span>
      </figcaption>
    </figure>
  );
}
