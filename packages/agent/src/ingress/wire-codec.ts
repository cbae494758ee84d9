import { isIP } from "node:net";
import type { IngressEndpoint, IngressListener, ListenerError } from "./table.js";
import type { IngressReply, IngressRequest } from "./wire.js";

const HIGHEST_PORT = 65_535;
/** How much of a broken listener its error shows. */
const MAX_QUOTED = 200;
const REPLY_KINDS: ReadonlySet<unknown> = new Set(["hello", "applied", "stats", "done", "refused"]);

/** A request of the agent, or a text that says what is wrong with it. Checked in full: it opens ports. */
export function parseRequest(message: unknown): IngressRequest | string {
  if (!isRecord(message) || typeof message.id !== "number") return "a request without id";
  const { id, kind } = message;
  switch (kind) {
    case "stats":
    case "retire":
    case "stop":
      return { kind, id };
    case "apply": {
      return parseApply(id, message.table);
    }
    default:
      return `an unknown request ${JSON.stringify(kind)}`;
  }
}

/** A reply of the ingress process. Only its kind is checked: the same release wrote it, or one whose hello says so. */
export function parseReply(message: unknown): IngressReply | undefined {
  return isRecord(message) && REPLY_KINDS.has(message.kind) ? (message as IngressReply) : undefined;
}

function parseApply(id: number, table: unknown): IngressRequest | string {
  if (!isRecord(table) || typeof table.version !== "number" || !Array.isArray(table.listeners)) {
    return "a table without version or listeners";
  }
  const listeners: IngressListener[] = [];
  const invalid: ListenerError[] = [];
  for (const candidate of table.listeners) {
    const listener = parseListener(candidate);
    if (listener === undefined) invalid.push(describeInvalid(candidate));
    else listeners.push(listener);
  }
  return { kind: "apply", id, table: { version: table.version, listeners }, invalid };
}

function describeInvalid(value: unknown): ListenerError {
  const { protocol, address, port, service } = isRecord(value) ? value : {};
  return {
    protocol: protocol === "udp" ? "udp" : "tcp",
    address: typeof address === "string" ? address : "",
    port: typeof port === "number" ? port : 0,
    service: typeof service === "string" ? service : "",
    code: "EINVAL",
    message: `not a valid listener: ${JSON.stringify(value).slice(0, MAX_QUOTED)}`,
  };
}

function parseListener(value: unknown): IngressListener | undefined {
  if (!isRecord(value)) return undefined;
  const { protocol, address, port, service } = value;
  if (protocol !== "tcp" && protocol !== "udp") return undefined;
  if (typeof address !== "string" || (address !== "" && isIP(address) === 0)) return undefined;
  if (!isPort(port) || typeof service !== "string") return undefined;
  const endpoints = parseEndpoints(value.endpoints);
  const draining = parseEndpoints(value.draining);
  if (endpoints === undefined || draining === undefined) return undefined;
  return { protocol, address, port, service, endpoints, draining };
}

function parseEndpoints(value: unknown): readonly IngressEndpoint[] | undefined {
  return Array.isArray(value) && value.every(isEndpoint) ? value : undefined;
}

function isEndpoint(value: unknown): value is IngressEndpoint {
  return (
    isRecord(value) &&
    typeof value.id === "string" &&
    typeof value.address === "string" &&
    isIP(value.address) !== 0 &&
    isPort(value.port)
  );
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= HIGHEST_PORT;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
