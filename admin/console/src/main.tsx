import { computed, effect, useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Cards } from "./cards";
import { Calls } from "./charts";
import { Drawer } from "./drawer";
import { Events } from "./timeline";
import { ReloadButton, ReloadTold } from "./actions";
import { get, said } from "./api";
import { connection, problem, retryNow, start } from "./live";
import { clock } from "./format";
import { Ago, Shape, Spoken, Until, Words } from "./parts";
import { anyBackend, gateway, minutes, needs, now, type State } from "./store";
import { Table } from "./table";
import { TokenForm } from "./token";
import type { Phase } from "./types";

const phases: Record<Phase, State> = { Ready: "ready", Degraded: "degraded", Failed: "unavailable", Pending: "unknown" };

function Head() {
  const g = gateway.value;
  const lost = connection.value.state === "lost";
  return (
    <header class="top">
      <div class="bar">
        <p class="name">
          Recloser <span class="dim num">{g?.version}</span>
        </p>
        <p class="live">
          {lost ? (
            <span class="tag bad">stale</span>
          ) : connection.value.state === "live" ? (
            <>
              <Shape of="ready" /> live
            </>
          ) : (
            "connecting …"
          )}
        </p>
        <ReloadButton />
      </div>
      <div class="headline" role="status" aria-live="polite">
        {g && (
          <span class={"phase is-" + phases[g.phase]}>
            <Shape of={phases[g.phase]} /> {g.phase}
          </span>
        )}
        <h1 data-field="headline">{g ? (g.headline ?? "") : "Reading the status …"}</h1>
      </div>
      <ReloadTold />
    </header>
  );
}

function Lost() {
  const c = connection.value;
  return (
    <div class="banners" role="alert">
      {c.state === "lost" && (
        <div class="banner" data-banner="lost">
          <Shape of="error" />
          <p>
            <b>Connection to the gateway lost</b> since <time dateTime={new Date(c.since).toISOString()}>{clock(c.since, now.peek())} UTC</time>
            . What you see is from then and may be out of date.{" "}
            {c.retryAt ? (
              <span aria-hidden="true">
                Trying again <Until at={new Date(c.retryAt).toISOString()} past="now" />.
              </span>
            ) : (
              <span aria-hidden="true">Trying again now.</span>
            )}
          </p>
          <button type="button" onClick={retryNow}>
            Try now
          </button>
        </div>
      )}
      {problem.value && c.state !== "lost" && (
        <div class="banner" data-banner="problem">
          <Shape of="error" />
          <p>
            <b>The status cannot be read:</b> {problem}
          </p>
        </div>
      )}
    </div>
  );
}

interface Config {
  config: string;
  file?: string;
  loadedAt?: string;
}

// Configuration is read when somebody opens it.
function Configuration() {
  const c = useSignal<Config | null>(null);
  const wrong = useSignal("");
  async function read() {
    try {
      c.value = await get<Config>("/api/v1/config");
      wrong.value = "";
    } catch (err) {
      wrong.value = said(err);
    }
  }
  return (
    <details class="configuration" onToggle={(e) => e.currentTarget.open && void read()}>
      <summary>
        <h2>Configuration in effect</h2>
      </summary>
      {wrong.value && <p class="bad">{wrong}</p>}
      {c.value && (
        <>
          <p class="dim">
            {c.value.file && <code>{c.value.file}</code>}
            {c.value.loadedAt && (
              <>
                {" "}
                read <Ago at={c.value.loadedAt} />
              </>
            )}
            . Secrets are left out.
          </p>
          <pre tabIndex={0} class="config">
            {c.value.config}
          </pre>
        </>
      )}
    </details>
  );
}

const example = `mcpServers:
  docs:
    url: https://docs.example.com/mcp
`;

function Empty() {
  const file = useSignal("the configuration");
  useEffect(() => {
    get<Config>("/api/v1/config").then(
      (c) => c.file && (file.value = c.file),
      () => {}, // it is said without the name then
    );
  }, []);
  return (
    <section class="empty" aria-labelledby="empty">
      <h2 id="empty">No backend is configured</h2>
      <p>
        Add an MCP server to <code>mcpServers</code> in <code>{file}</code>, or paste the entry that your MCP client has for it:
      </p>
      <pre>{example}</pre>
      <p>
        <Words text="Check the file with `recloser validate --config FILE`, then press Reload configuration above." />
      </p>
    </section>
  );
}

const hour = computed(() => minutes("").value.length > 0);

function Page() {
  const g = gateway.value;
  return (
    <>
      <a class="skip" href="#backends">
        Skip to the backends
      </a>
      <Head />
      <Lost />
      <main class={connection.value.state === "lost" ? "stale" : undefined} aria-busy={!g}>
        {g && !anyBackend.value && <Empty />}
        <Cards />
        {anyBackend.value && hour.value && <Calls name="" />}
        {anyBackend.value && <Table />}
        {g && <Events />}
        {g && <Configuration />}
      </main>
      <footer class="dim">
        Times of day are in UTC; the title of a time has its date. The same data: <code>/api/v1/status</code>, and{" "}
        <code>recloser status</code>. <a href="licenses.txt">Licenses</a> of what this page is made of.
      </footer>
      <Drawer />
      <TokenForm />
      <Spoken />
    </>
  );
}

effect(() => {
  const g = gateway.value;
  const n = needs.value.length;
  if (connection.value.state === "lost") document.title = "Connection lost · Recloser";
  else if (g) document.title = `${n ? `(${n}) ` : ""}${g.phase} · Recloser`;
});

start();
const root = document.getElementById("console")!;
root.replaceChildren();
render(<Page />, root);
