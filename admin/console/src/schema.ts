// Forms from JSON schemas. Only flat objects become one: what is nested, or one
// of several things, is edited as JSON.

export interface Field {
  name: string;
  type: "string" | "number" | "integer" | "boolean";
  choices?: (string | number)[];
  required: boolean;
  title: string;
  description: string;
  preset: string;
  min?: number;
  max?: number;
}

type Schema = Record<string, unknown>;

const isSchema = (v: unknown): v is Schema => typeof v === "object" && v !== null && !Array.isArray(v);
const text = (v: unknown) => (typeof v === "string" ? v : "");
const number = (v: unknown) => (typeof v === "number" ? v : undefined);

// fields are those of a flat object; null when the schema is not one.
export function fields(schema: unknown): Field[] | null {
  if (!isSchema(schema) || ["anyOf", "oneOf", "allOf", "$ref", "if"].some((k) => k in schema)) return null;
  const properties = schema.properties ?? {};
  if (!isSchema(properties)) return null;
  const required = Array.isArray(schema.required) ? schema.required : [];
  const list: Field[] = [];
  for (const [name, p] of Object.entries(properties)) {
    const f = isSchema(p) ? field(name, p, required.includes(name)) : null;
    if (!f) return null;
    list.push(f);
  }
  return list;
}

function field(name: string, p: Schema, required: boolean): Field | null {
  const types = (Array.isArray(p.type) ? p.type : [p.type]).filter((t) => t !== "null");
  const choices = "const" in p ? [p.const] : p.enum;
  if (choices !== undefined && !(Array.isArray(choices) && choices.every((c) => ["string", "number"].includes(typeof c) && typeof c === typeof choices[0])))
    return null;
  let type = types[0];
  if (type === undefined && choices) type = typeof (choices as unknown[])[0];
  if (types.length > 1 || !["string", "number", "integer", "boolean"].includes(type as string)) return null;
  return {
    name,
    type: type as Field["type"],
    choices: choices as Field["choices"],
    required,
    title: text(p.title) || name,
    description: text(p.description),
    preset: p.default === undefined || p.default === null ? "" : String(p.default),
    min: number(p.minimum),
    max: number(p.maximum),
  };
}

// args makes arguments of what the form holds. What is empty and not required is
// left out.
export function args(list: Field[], values: (name: string) => string): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const f of list) {
    const v = values(f.name);
    if (v === "" && !f.required) continue;
    if (f.type === "boolean") out[f.name] = v === "true";
    else if (f.type === "string") out[f.name] = v;
    else out[f.name] = Number(v);
  }
  return out;
}

const empty: Record<string, unknown> = { string: "", number: 0, integer: 0, boolean: false, array: [], object: {} };

// skeleton is a value to begin with for the editor: what is required.
export function skeleton(schema: unknown): unknown {
  if (!isSchema(schema)) return {};
  if (schema.default !== undefined) return schema.default;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type !== "object" && !isSchema(schema.properties)) return empty[text(type)] ?? null;
  const properties = isSchema(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required.map(String) : [];
  return Object.fromEntries(required.map((name) => [name, skeleton(properties[name])]));
}
