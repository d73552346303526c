import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Actions, Told, type Outcome } from "./actions";
import { backendPath, get, Refusal, said } from "./api";
import { Explained, Verdict } from "./cards";
import { Calls, Strip } from "./charts";
import { Facts } from "./facts";
import { coalesced, connection, heard } from "./live";
import { Spoken } from "./parts";
import { Requests } from "./requests";
import { close, opened } from "./route";
import { backend, refreshed, same } from "./store";
import { Timeline } from "./timeline";
import { Catalog } from "./tools";
import type { Detail } from "./types";

const detail = signal<Detail | null>(null);
const trouble = signal("");

// load reads the open backend anew; a new answer keeps what did not change.
const load = coalesced(async () => {
  const name = opened.peek();
  if (!name) return;
  try {
    const d = await get<Detail>(backendPath(name));
    if (opened.peek() !== name) return;
    const old = detail.peek();
    if (old && same(old.catalog, d.catalog)) d.catalog = old.catalog;
    if (!same(old, d)) detail.value = d;
    trouble.value = "";
  } catch (err) {
    if (err instanceof Refusal && err.code !== 401) trouble.value = said(err);
  }
}, 1000);

const tabs = ["Overview", "Timeline", "Requests", "Tools", "Configuration"] as const;
type Tab = (typeof tabs)[number];

// Drawer is the open backend.
export function Drawer() {
  const name = opened.value;
  return name ? <Opened key={name} name={name} /> : null;
}

function Opened({ name }: { name: string }) {
  const box = useRef<HTMLDialogElement>(null);
  const outcome = useSignal<Outcome>({});
  const tab = useSignal<Tab>("Overview");

  useEffect(() => {
    const from = document.activeElement as HTMLElement | null;
    detail.value = null;
    trouble.value = "";
    box.current!.showModal();
    load();
    const onEvent = (e?: { backend?: string }) => (!e || e.backend === name) && load();
    heard.add(onEvent);
    const every = setInterval(() => document.hidden || load(), 5000);
    return () => {
      heard.delete(onEvent);
      clearInterval(every);
      // Opened by its address: the focus goes to the backend's row.
      const row = document.querySelector<HTMLElement>(`tr[data-backend="${CSS.escape(name)}"] a`);
      (from && from !== document.body && from.isConnected ? from : row)?.focus();
    };
  }, []);

  refreshed.value; // the backend may have come or gone
  const b = backend(name)?.value ?? detail.value?.backend;
  const d = detail.value;
  return (
    <dialog
      ref={box}
      class="drawer"
      aria-labelledby="drawer-name"
      onCancel={(e) => {
        e.preventDefault();
        close();
      }}
      onClose={close}
      onClick={(e) => e.target === box.current && close()}
    >
      <div class="inside">
        <header>
          <div class="bar">
            <h2 id="drawer-name" tabIndex={-1} autofocus>
              {name}
            </h2>
            <span role="status">
              {connection.value.state === "lost" && (
                <span class="tag bad">
                  stale<span class="hidden">: the connection to the gateway is lost</span>
                </span>
              )}
            </span>
            <button type="button" class="quiet" onClick={close}>
              Close <kbd>Esc</kbd>
            </button>
          </div>
          {b && <Verdict b={b} />}
          {b && <Actions b={b} to={outcome} />}
          <Told of={outcome} />
          {trouble.value && (
            <p class="bad" role="status">
              {trouble}
            </p>
          )}
          <Tabs tab={tab} d={d} />
        </header>
        <Spoken />
        <div class="panel" role="tabpanel" id="panel" aria-labelledby={"tab-" + tab.value} tabIndex={0}>
          {!d || !b ? <p class="dim none">{trouble.value ? "" : "Reading …"}</p> : <Panel tab={tab.value} d={d} name={name} />}
        </div>
      </div>
    </dialog>
  );
}

function Tabs({ tab, d }: { tab: { value: Tab }; d: Detail | null }) {
  const size: Partial<Record<Tab, number>> = { Timeline: d?.events?.length, Requests: d?.requests?.length, Tools: d?.catalog?.length };
  function key(e: KeyboardEvent) {
    const at = tabs.indexOf(tab.value);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    tab.value = tabs[(to + tabs.length) % tabs.length]!;
    document.getElementById("tab-" + tab.value)?.focus();
  }
  return (
    <div class="tabs" role="tablist" aria-label="Parts" onKeyDown={key}>
      {tabs.map((t) => (
        <button
          type="button"
          role="tab"
          id={"tab-" + t}
          aria-controls="panel"
          aria-selected={t === tab.value}
          tabIndex={t === tab.value ? 0 : -1}
          onClick={() => (tab.value = t)}
        >
          {t} {size[t] !== undefined && <span class="tally">{size[t]}</span>}
        </button>
      ))}
    </div>
  );
}

function Panel({ tab, d, name }: { tab: Tab; d: Detail; name: string }) {
  const b = backend(name)?.value ?? d.backend;
  switch (tab) {
    case "Overview":
      return (
        <>
          <Explained b={b} />
          <Strip name={name} />
          <Calls name={name} />
          <Facts b={b} />
        </>
      );
    case "Timeline":
      return <Timeline list={d.events ?? []} />;
    case "Requests":
      return <Requests list={d.requests ?? []} />;
    case "Tools":
      return <Catalog list={d.catalog ?? []} />;
    case "Configuration":
      return (
        <>
          <p class="dim">The entry of {name} as it is in effect, defaults included, secrets left out.</p>
          <pre tabIndex={0} class="config">
            {d.config}
          </pre>
        </>
      );
  }
}
