import { Ago, Line, Shape, Until, Yes } from "./parts";
import { count, latency, plain } from "./format";
import { lists } from "./table";
import type { Backend } from "./types";

const outcomes: Record<string, string> = {
  new: "a new credential is in use",
  same: "nothing newer was to be had",
  passing: "the issuer could not be reached",
  permanent: "the issuer refuses for good",
};

// Facts are what the status was derived from.
export function Facts({ b }: { b: Backend }) {
  const c = b.credential;
  const ch = b.challenge;
  return (
    <div class="facts">
      <dl>
        <Line name="Reachable">
          <Yes fact={b.reachable} />
        </Line>
        <Line name="Authenticated">
          <Yes fact={b.authenticated} />
        </Line>
        <Line name="Session">
          <Yes fact={b.session} />
        </Line>
        <Line name="Revision">{b.revision}</Line>
        <Line name="Lists">
          {lists(b)}
          {b.catalogue.lastRefresh && (
            <span class="dim">
              , read <Ago at={b.catalogue.lastRefresh} />
            </span>
          )}
        </Line>
        <Line name="In flight">{count(b.inFlight)}</Line>
        <Line name="Next probe">{b.nextProbe && <Until at={b.nextProbe} past="due now" />}</Line>
      </dl>
      <dl>
        <Line name="Credential">{c.type || "none"}</Line>
        <Line name="Generation">{c.generation ? count(c.generation) : ""}</Line>
        <Line name="Issued">{c.issued && <Ago at={c.issued} />}</Line>
        <Line name="Expires">{c.expires && <Until at={c.expires} past="it has expired" />}</Line>
        <Line name="Renewable">{c.type && c.type !== "unauthenticated" ? (c.renewable ? "yes" : "no") : ""}</Line>
        <Line name="Last renewal">
          {c.lastRenewal && (
            <>
              <Ago at={c.lastRenewal.at} />: {outcomes[c.lastRenewal.outcome] ?? c.lastRenewal.outcome}
            </>
          )}
        </Line>
        <Line name="Challenge">
          {ch && (
            <code>
              {ch.scheme}
              {ch.realm && ` realm="${ch.realm}"`}
              {ch.error && ` error="${ch.error}"`}
              {ch.scope && ` scope="${ch.scope}"`}
            </code>
          )}
        </Line>
      </dl>
      <dl>
        <Line name="Breaker">
          <Shape of={b.breaker.state === "closed" ? "ready" : b.breaker.state === "open" ? "unavailable" : "degraded"} />{" "}
          {plain(b.breaker.state)}
          {b.breaker.openedAt && (
            <span class="dim">
              {" "}
              for <Ago at={b.breaker.openedAt} after="" />
            </span>
          )}
        </Line>
        <Line name="It tries again">{b.breaker.nextProbe && <Until at={b.breaker.nextProbe} past="with the next call" />}</Line>
        <Line name="Exhausted in a row">{count(b.breaker.exhausted)}</Line>
        <Line name="Calls">{count(b.counters.calls)}</Line>
        <Line name="Saved by renewal">{count(b.counters.savedByRenewal)}</Line>
        <Line name="Sends refused">{count(b.counters.refused)}</Line>
        <Line name="Sequences exhausted">{count(b.counters.exhausted)}</Line>
        <Line name="p50, p95 (5 min)">
          {latency(b.latency.p95) && `${latency(b.latency.p50)}, ${latency(b.latency.p95)}`}
        </Line>
      </dl>
      {b.process && <Program p={b.process} />}
    </div>
  );
}

function Program({ p }: { p: NonNullable<Backend["process"]> }) {
  const e = p.lastExit;
  return (
    <dl class="wide">
      <Line name="Command">
        <code>{p.command}</code>
      </Line>
      <Line name="Processes">
        {count(p.running)} running{p.pid ? `, pid ${p.pid}` : ""}, {count(p.restarts)} restarts
      </Line>
      <Line name="Last exit">
        {e && (
          <>
            <Ago at={e.at} /> after {e.lived}: {e.status}
            {e.nextStart && (
              <>
                {" "}
                , started again <Until at={e.nextStart} past="with the next request" />
              </>
            )}
          </>
        )}
      </Line>
      <Line name="It printed">{e?.stderr?.length ? <pre tabIndex={0}>{e.stderr.join("\n")}</pre> : ""}</Line>
    </dl>
  );
}
