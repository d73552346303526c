// The shapes of the admin API, as package status of the gateway writes them.
// Times are RFC 3339 and left out when they are not known; durations are text
// such as "12ms".

export type BackendStatus = "ready" | "degraded" | "unavailable" | "unknown";
export type Phase = "Pending" | "Ready" | "Degraded" | "Failed";
export type Level = "info" | "warning" | "error";
export type Fact = boolean | null;

export interface Status {
  phase: Phase;
  ready: boolean;
  version: string;
  headline?: string;
  tools: number;
  knownTools?: number;
  savedLastHour?: number;
  backendCount: number;
  readyBackends: number;
  backends: Backend[];
}

export interface Backend {
  name: string;
  status: BackendStatus;
  reason: string;
  since?: string;
  message: string;
  tried: string;
  fix: string;
  clientsSee?: string;
  affected?: number;
  paused?: boolean;
  nextProbe?: string;
  revision: string;
  reachable: Fact;
  authenticated: Fact;
  session: Fact;
  catalogue: { lastRefresh?: string };
  breaker: { state: "closed" | "open" | "half_open"; exhausted: number; openedAt?: string; nextProbe?: string };
  credential: Credential;
  challenge?: { scheme: string; realm?: string; error?: string; scope?: string; resourceMetadata?: string };
  counters: { calls: number; savedByRenewal: number; exhausted: number; refused: number };
  tools: number;
  resources: number;
  prompts: number;
  inFlight: number;
  latency: { p50: string; p95: string };
  process?: Process;
}

export interface Credential {
  type: string;
  generation: number;
  issued?: string;
  expires?: string;
  renewable: boolean;
  lastRenewal?: { at: string; outcome: string };
}

export interface Process {
  command: string;
  pid?: number;
  running: number;
  restarts: number;
  lastExit?: { at: string; pid?: number; status: string; lived: string; stderr?: string[]; nextStart?: string };
}

export interface Event {
  id: number;
  at: string;
  kind: string;
  level: Level;
  backend?: string;
  status?: BackendStatus;
  reason?: string;
  message: string;
  traceId?: string;
  count?: number;
}

export interface Minute {
  status?: BackendStatus;
  calls: number;
  failed: number;
  saved: number;
  p95: string;
}

export interface History {
  minutes: Minute[] | null;
}

export interface Detail {
  backend: Backend;
  config: string;
  catalog: Entry[] | null;
  requests: Request[] | null;
  events: Event[] | null;
  history: History;
}

export interface Entry {
  kind: string;
  name: string;
  public: string;
  definition: unknown;
}

export interface Request {
  at: string;
  method: string;
  name?: string;
  took: string;
  outcome: "ok" | "recovered" | "failed";
  reason?: string;
  traceId?: string;
  sends: Send[] | null;
}

export interface Send {
  at: string;
  status: number;
  cause?: string;
  generation?: number;
  took: string;
}

// Problem is one mistake in a configuration that was refused.
export interface Problem {
  file?: string;
  line?: number;
  column?: number;
  path?: string;
  message: string;
  fix?: string;
}

export interface Done {
  message: string;
  backend?: Backend;
}

export interface ToolAnswer {
  result?: unknown;
  error?: { code: number; message: string; data?: { reason?: string; hint?: string } };
  took?: number;
}
