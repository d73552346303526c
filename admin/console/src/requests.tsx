import { Clock, Shape, Trace } from "./parts";
import { duration, latency, millis } from "./format";
import type { Request } from "./types";

const outcomes = { ok: "ready", recovered: "saved", failed: "unavailable" } as const;

// Requests are the last ones of a backend, each with its sends.
export function Requests({ list }: { list: Request[] }) {
  if (!list.length) return <p class="dim none">No request has been made yet.</p>;
  return (
    <>
      <p class="dim">All that were refused, sent again or failed, and of the others one in a while; the latest first.</p>
      <ol class="requests">
        {list.map((r) => (
          <li key={r.at + r.method + (r.traceId ?? "")}>
            <div class="head">
              <Clock at={r.at} />
              <span class={"state is-" + outcomes[r.outcome]}>
                <Shape of={outcomes[r.outcome]} /> {r.outcome}
              </span>
              {r.reason && <code>{r.reason}</code>}
              <span class="text">
                {r.method} {r.name && <b>{r.name}</b>}
              </span>
              <span class="num">{took(r.took)}</span>
              <Trace id={r.traceId} />
            </div>
            <ol class="sends" aria-label="Sends">
              {(r.sends ?? []).map((s) => (
                <li>
                  <b class={"num " + (s.status >= 200 && s.status < 300 ? "good" : "bad")}>{s.status || "no answer"}</b>
                  <span class="num dim">{took(s.took)}</span>
                  {!!s.generation && <span class="dim">credential {s.generation}</span>}
                  {s.cause && s.cause !== "first" && <span>{s.cause}</span>}
                </li>
              ))}
            </ol>
          </li>
        ))}
      </ol>
    </>
  );
}

const took = (text: string) => latency(text) || duration(millis(text));
