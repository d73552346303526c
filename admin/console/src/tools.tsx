import { useSignal } from "@preact/signals";
import { useId, useMemo, useRef } from "preact/hooks";
import { post, said } from "./api";
import { duration } from "./format";
import { Copy, Shape } from "./parts";
import { args, fields, skeleton, type Field } from "./schema";
import type { Entry, ToolAnswer } from "./types";

interface Definition {
  title?: string;
  description?: string;
  inputSchema?: unknown;
  annotations?: { readOnlyHint?: boolean; destructiveHint?: boolean };
}

const kinds: [string, string][] = [
  ["tool", "Tools"],
  ["prompt", "Prompts"],
  ["resource", "Resources"],
  ["template", "Resource templates"],
];

// Catalog is what a backend offers; its tools can be tried.
export function Catalog({ list }: { list: Entry[] }) {
  const filter = useSignal("");
  if (!list.length) return <p class="dim none">It offers nothing at present.</p>;
  const word = filter.value.toLowerCase();
  return (
    <>
      {list.length > 10 && (
        <p class="filter">
          <label for="filter-tools">Filter</label>
          <input id="filter-tools" type="search" autocomplete="off" value={filter} onInput={(e) => (filter.value = e.currentTarget.value)} />
        </p>
      )}
      {kinds.map(([kind, title]) => {
        const some = list.filter((e) => e.kind === kind && (e.public + " " + e.name).toLowerCase().includes(word));
        if (!some.length) return null;
        return (
          <section key={kind}>
            <h3>
              {title} <span class="tally">{some.length}</span>
            </h3>
            {some.map((e) => (
              <Offer key={e.public} entry={e} />
            ))}
          </section>
        );
      })}
    </>
  );
}

function Offer({ entry }: { entry: Entry }) {
  const open = useSignal(false);
  const d = (entry.definition ?? {}) as Definition;
  return (
    <details class="offer" data-tool={entry.public} onToggle={(e) => (open.value = e.currentTarget.open)}>
      <summary>
        <b>{entry.public}</b>
        {entry.name !== entry.public && <span class="dim"> {entry.name}</span>}
        {d.annotations?.readOnlyHint && <span class="tag">reads only</span>}
        {d.annotations?.destructiveHint && !d.annotations.readOnlyHint && <span class="tag warn">may destroy</span>}
        <span class="gist">{d.description}</span>
      </summary>
      {open.value && (
        <div class="try">
          {d.description && <p class="description">{d.description}</p>}
          {entry.kind === "tool" && <Try entry={entry} schema={d.inputSchema} />}
          <details class="definition">
            <summary>Definition</summary>
            <pre tabIndex={0}>{JSON.stringify(entry.definition, null, 2)}</pre>
          </details>
        </div>
      )}
    </details>
  );
}

interface Tried {
  busy?: boolean;
  invalid?: string;
  failed?: string;
  answer?: ToolAnswer;
}

function Try({ entry, schema }: { entry: Entry; schema: unknown }) {
  const flat = useMemo(() => fields(schema), [schema]);
  const raw = useSignal(flat === null);
  const draft = useRef("");
  const tried = useSignal<Tried>({});

  function read(form: HTMLFormElement): unknown {
    const data = new FormData(form);
    if (raw.peek()) return JSON.parse(String(data.get("json")));
    return args(flat!, (name) => String(data.get("arg." + name) ?? ""));
  }

  async function submit(e: SubmitEvent) {
    e.preventDefault();
    if (tried.peek().busy) return;
    let given: unknown;
    try {
      given = read(e.currentTarget as HTMLFormElement);
    } catch (err) {
      tried.value = { invalid: "These arguments are no JSON: " + (err as Error).message };
      return;
    }
    tried.value = { busy: true };
    try {
      tried.value = { answer: await post<ToolAnswer>("/api/v1/tools/call", { name: entry.public, arguments: given }) };
    } catch (err) {
      tried.value = { failed: said(err) };
    }
  }

  function edit(e: MouseEvent) {
    const form = (e.currentTarget as HTMLElement).closest("form")!;
    draft.current = JSON.stringify(read(form), null, 2);
    raw.value = true;
  }

  const id = useId();
  return (
    <form onSubmit={submit} aria-label={"Try " + entry.public}>
      {raw.value ? (
        <p class="field">
          <label for={id}>Arguments (JSON)</label>
          <textarea id={id} name="json" rows={6} spellcheck={false}>
            {draft.current || JSON.stringify(skeleton(schema), null, 2)}
          </textarea>
        </p>
      ) : (
        flat!.map((f) => <Input key={f.name} f={f} />)
      )}
      <p class="actions">
        <button type="submit" class="primary" aria-disabled={!!tried.value.busy}>
          Call the tool
        </button>
        {flat !== null && flat.length > 0 && (
          <button type="button" class="quiet" onClick={raw.value ? () => (raw.value = false) : edit}>
            {raw.value ? "Use the form" : "Edit as JSON"}
          </button>
        )}
        <span class="dim">This really calls it, through the gateway, as a client would.</span>
      </p>
      <div role="status" aria-live="polite">
        <Answer t={tried.value} />
      </div>
    </form>
  );
}

function Input({ f }: { f: Field }) {
  const id = useId();
  const common = { id, name: "arg." + f.name, required: f.required, "aria-describedby": f.description ? id + "-is" : undefined };
  const choices = f.type === "boolean" ? ["true", "false"] : f.choices;
  return (
    <p class="field">
      <label for={id}>
        {f.title} <span class="dim">{f.type}{f.required ? ", required" : ""}</span>
      </label>
      {choices ? (
        <select {...common}>
          {!(f.required && f.preset) && <option value="">{f.required ? "choose" : "not given"}</option>}
          {choices.map((c) => (
            <option value={String(c)} selected={String(c) === f.preset}>
              {String(c)}
            </option>
          ))}
        </select>
      ) : f.type === "string" ? (
        <input type="text" autocomplete="off" spellcheck={false} defaultValue={f.preset} {...common} />
      ) : (
        <input type="number" step={f.type === "integer" ? 1 : "any"} min={f.min} max={f.max} defaultValue={f.preset} {...common} />
      )}
      {f.description && (
        <span class="dim" id={id + "-is"}>
          {f.description}
        </span>
      )}
    </p>
  );
}

function Answer({ t }: { t: Tried }) {
  if (t.busy) return <p class="dim">Calling …</p>;
  if (t.invalid) return <p class="bad">{t.invalid}</p>;
  if (t.failed) return <p class="bad">{t.failed}</p>;
  if (!t.answer) return null;
  const took = t.answer.took === undefined ? "" : " in " + duration(t.answer.took);
  const e = t.answer.error;
  if (e) {
    return (
      <div class="answer failed">
        <p class="bad">
          <Shape of="error" /> The call failed{took}
        </p>
        <p class="what">{e.message}</p>
        <p>
          {e.data?.reason && <code>{e.data.reason}</code>} <span class="dim">code {e.code}</span>
        </p>
        {e.data?.hint && <p>{e.data.hint}</p>}
      </div>
    );
  }
  const r = (t.answer.result ?? {}) as { isError?: boolean; content?: unknown[]; structuredContent?: unknown };
  const shown = (r.content ?? []).map(content).join("\n\n") || JSON.stringify(r, null, 2);
  return (
    <div class={"answer" + (r.isError ? " failed" : "")}>
      <p class={r.isError ? "bad" : "good"}>
        <Shape of={r.isError ? "error" : "ready"} /> {r.isError ? "The tool reports an error" : "Answered"}
        {took}
        <Copy text={JSON.stringify(t.answer.result, null, 2)} what="the result" />
      </p>
      <pre tabIndex={0}>{shown}</pre>
      {r.structuredContent !== undefined && (
        <details class="definition">
          <summary>Structured content</summary>
          <pre tabIndex={0}>{JSON.stringify(r.structuredContent, null, 2)}</pre>
        </details>
      )}
    </div>
  );
}

// content is a block of a result as text. Pictures and sound are only named.
function content(block: unknown): string {
  const c = block as { type?: string; text?: string; data?: string; mimeType?: string; uri?: string };
  if (c.type === "text") return c.text ?? "";
  if (c.data !== undefined) return `(${c.type}, ${c.mimeType ?? "unknown type"}, ${Math.ceil((c.data.length * 3) / 4 / 1024)} KB)`;
  return JSON.stringify(block, null, 2);
}
