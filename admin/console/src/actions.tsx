import { signal, type Signal } from "@preact/signals";
import { backendPath, post, Refusal, said } from "./api";
import { Words } from "./parts";
import { refresh } from "./live";
import type { Backend, Done, Problem } from "./types";

// Outcome is what became of the last action.
export interface Outcome {
  busy?: string; // what is being done
  message?: string;
  error?: string;
  problems?: Problem[];
}

// perform runs an action and tells its outcome.
export async function perform(to: Signal<Outcome>, doing: string, path: string): Promise<void> {
  if (to.peek().busy) return;
  to.value = { busy: doing };
  try {
    to.value = { message: (await post<Done>(path)).message };
  } catch (err) {
    const problems = err instanceof Refusal && Array.isArray(err.body.problems) ? (err.body.problems as Problem[]) : [];
    to.value = { error: said(err), problems };
  }
  refresh();
}

// Told shows an outcome. The region is always there, so that a screen reader says
// what comes into it.
export function Told({ of }: { of: Signal<Outcome> }) {
  const o = of.value;
  const kind = o.error ? " error" : o.message ? " done" : "";
  return (
    <div class={"told" + kind} role="status" aria-live="polite">
      {o.busy && <p class="dim">{o.busy} …</p>}
      {o.message && <p>{o.message}</p>}
      {o.error && <p class="what">{o.error}</p>}
      {!!o.problems?.length && (
        <ol class="problems">
          {o.problems.map((p) => (
            <li>
              <code>{place(p)}</code> {p.path && <code class="dim">{p.path}</code>} {p.message}
              {p.fix && (
                <div class="todo">
                  <Words text={p.fix} />
                </div>
              )}
            </li>
          ))}
        </ol>
      )}
      {(o.message || o.error) && (
        <button type="button" class="quiet" aria-label="Dismiss this message" onClick={() => (of.value = {})}>
          Dismiss
        </button>
      )}
    </div>
  );
}

const place = (p: Problem) => [p.file || "configuration", p.line, p.column].filter(Boolean).join(":");

// Actions are what can be done about one backend.
export function Actions({ b, to }: { b: Backend; to: Signal<Outcome> }) {
  const act = (label: string, action: string, doing: string, title: string) => (
    <button
      type="button"
      aria-disabled={!!to.value.busy}
      title={title}
      onClick={() => void perform(to, doing, backendPath(b.name, action))}
    >
      {label}
    </button>
  );
  return (
    <div class="actions" role="group" aria-label={"Actions for " + b.name}>
      {act("Probe now", "probe", `Probing ${b.name}`, "Ask the backend now whether it answers")}
      {act("Renew credential", "renew", `Renewing the credential of ${b.name}`, "Get a new credential now")}
      {act("Reset breaker", "reset", `Closing the breaker of ${b.name}`, "Close the breaker: calls are sent as usual again")}
      {b.paused
        ? act("Resume", "resume", `Resuming ${b.name}`, "Take the backend into service again")
        : act("Pause", "pause", `Pausing ${b.name}`, "Take the backend out of service: its tools are not listed until it is resumed")}
    </div>
  );
}

const reloading = signal<Outcome>({});

export function ReloadButton() {
  return (
    <button type="button" aria-disabled={!!reloading.value.busy} onClick={() => void perform(reloading, "Reading the configuration", "/api/v1/reload")}>
      Reload<span class="wide-only"> configuration</span>
    </button>
  );
}

export const ReloadTold = () => <Told of={reloading} />;
