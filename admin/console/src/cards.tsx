import { useSignal } from "@preact/signals";
import { connection } from "./live";
import { counted } from "./format";
import { Ago, Shape, Until, Words } from "./parts";
import { link } from "./route";
import { backend, needs, state } from "./store";
import type { Backend } from "./types";

// Cards are the backends that need somebody.
export function Cards() {
  const all = useSignal(false);
  const list = needs.value;
  if (!list.length) return null;
  const most = all.value ? list.length : few;
  return (
    <section class="cards" aria-labelledby="needs">
      <h2 id="needs">
        Needs attention <span class="tally">{list.length}</span>
      </h2>
      <div class="grid">
        {list.slice(0, most).map((name) => (
          <Card key={name} name={name} />
        ))}
      </div>
      {list.length > most && (
        <p class="more">
          <button type="button" onClick={() => (all.value = true)}>
            Show {counted(list.length - most, "more card")}
          </button>{" "}
          <span class="dim">or see the table, which has them all, first.</span>
        </p>
      )}
    </section>
  );
}

// Where much is broken at once, the first cards must not hide the table.
const few = 8;

function Card({ name }: { name: string }) {
  const b = backend(name)?.value;
  if (!b) return null;
  return (
    <article class={"card is-" + b.status} data-backend={name} aria-label={name}>
      <header>
        <h3>
          <a href={link(name)}>{name}</a>
        </h3>
        <Verdict b={b} />
      </header>
      <Explained b={b} />
    </article>
  );
}

// Verdict is the status, its reason and since when.
export function Verdict({ b }: { b: Backend }) {
  return (
    <p class="verdict">
      <span class={"state is-" + state(b)}>
        <Shape of={state(b)} /> <span data-field="status">{b.status}</span>
      </span>
      <code data-field="reason">{b.reason}</code>
      {b.paused && <span class="tag">paused</span>}
      {b.since && (
        <span class="dim">
          for <Ago at={b.since} field="since" after="" />
        </span>
      )}
      {!!b.affected && <span class="affected">{counted(b.affected, "call")} affected</span>}
    </p>
  );
}

// Explained is everything that the gateway says about a backend in words.
export function Explained({ b }: { b: Backend }) {
  const open = b.breaker.state !== "closed" && b.breaker.nextProbe;
  const next = open ? b.breaker.nextProbe : b.nextProbe;
  return (
    <>
      <p class="message">
        <Words text={b.message} field="message" />
      </p>
      <dl class="explained">
        {b.fix && (
          <div class="fix">
            <dt>What you do</dt>
            <dd>
              <Words text={b.fix} field="fix" />
            </dd>
          </div>
        )}
        {b.tried && (
          <div>
            <dt>What was tried</dt>
            <dd>
              <Words text={b.tried} field="tried" />
            </dd>
          </div>
        )}
        {b.clientsSee && (
          <div>
            <dt>Clients see now</dt>
            <dd>
              <Words text={b.clientsSee} field="clientsSee" />
            </dd>
          </div>
        )}
        {next && !b.paused && b.reason !== "disabled" && (
          <div>
            <dt>{open ? "Breaker tries again" : "Next probe"}</dt>
            <dd class="num" data-field="next">
              {connection.value.state === "lost" ? "not known while the connection is lost" : <Until at={next} past="due now" />}
            </dd>
          </div>
        )}
      </dl>
    </>
  );
}
