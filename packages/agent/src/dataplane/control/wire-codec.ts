import { isIP, isIPv4 } from "node:net";
import type { IngressProgram } from "../spawn.js";
import type {
  IngressEndpoint,
  IngressListener,
  KernelRoute,
  ListenerError,
  TrafficRules,
} from "../table/ingress-table.js";
import { parseNames } from "./names-codec.js";
import type { IngressReply, IngressRequest } from "./wire.js";

const HIGHEST_PORT = 65_535;
/** How much of a broken listener its error shows. */
const MAX_QUOTED = 200;
const REPLY_KINDS: ReadonlySet<unknown> = new Set([
  "hello",
  "applied",
  "stats",
  "condition",
  "done",
  "refused",
]);

/** A request of the agent, or a text that says what is wrong with it. Checked in full: it opens ports. */
export function parseRequest(message: unknown): IngressRequest | string {
  if (!isRecord(message) || typeof message.id !== "number") return "a request without id";
  const { id, kind } = message;
  switch (kind) {
    case "stats":
    case "condition":
    case "retire":
    case "stop":
      return { kind, id };
    case "apply":
      return parseApply(id, message.table);
    case "change":
      return parseChange(id, message);
    case "names": {
      const names = parseNames(message.names);
      return names === undefined ? "a table of names that is none" : { kind, id, names };
    }
    case "hand-over":
      return isProgram(message.program)
        ? { kind, id, program: message.program }
        : "a program that is none to hand over to";
    case "suspect":
      return isListOf(message.nodes, isText)
        ? { kind, id, nodes: message.nodes }
        : "suspicions that are no list of names";
    default:
      return `an unknown request ${JSON.stringify(kind)}`;
  }
}

function isProgram(value: unknown): value is IngressProgram {
  return isRecord(value) && isText(value.exec) && isText(value.entry) && isListOf(value.args, isText);
}

/** A reply of the ingress process. Only its kind is checked: the same release wrote it, or one whose hello says so. */
export function parseReply(message: unknown): IngressReply | undefined {
  return isRecord(message) && REPLY_KINDS.has(message.kind) ? (message as IngressReply) : undefined;
}

function parseApply(id: number, table: unknown): IngressRequest | string {
  if (!isRecord(table) || typeof table.version !== "number" || !Array.isArray(table.listeners)) {
    return "a table without version or listeners";
  }
  const { listeners, invalid } = parseListeners(table.listeners);
  return { kind: "apply", id, table: { version: table.version, listeners }, invalid };
}

function parseChange(
  id: number,
  { base, version, set, removed }: Record<string, unknown>,
): IngressRequest | string {
  if (typeof base !== "number" || typeof version !== "number") return "a change without its versions";
  if (!Array.isArray(set) || !isListOf(removed, isText)) return "a change without its lists";
  const { listeners, invalid } = parseListeners(set);
  return { kind: "change", id, base, version, set: listeners, removed, invalid };
}

function parseListeners(candidates: readonly unknown[]): {
  readonly listeners: readonly IngressListener[];
  readonly invalid: readonly ListenerError[];
} {
  const listeners: IngressListener[] = [];
  const invalid: ListenerError[] = [];
  for (const candidate of candidates) {
    const listener = parseListener(candidate);
    if (listener === undefined) invalid.push(describeInvalid(candidate));
    else listeners.push(listener);
  }
  return { listeners, invalid };
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
  const { protocol, address, port, service, stack, traffic } = value;
  if (protocol !== "tcp" && protocol !== "udp") return undefined;
  if (typeof address !== "string" || (address !== "" && isIP(address) === 0)) return undefined;
  if (!isPort(port) || typeof service !== "string") return undefined;
  if (stack !== undefined && typeof stack !== "string") return undefined;
  const endpoints = parseEndpoints(value.endpoints);
  const draining = parseEndpoints(value.draining);
  if (endpoints === undefined || draining === undefined) return undefined;
  if (traffic !== undefined && !isTraffic(traffic)) return undefined;
  return {
    ...{ protocol, address, port, service, endpoints, draining },
    ...(stack === undefined ? {} : { stack }),
    ...(traffic === undefined ? {} : { traffic }),
  };
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
    isPort(value.port) &&
    (value.node === undefined || typeof value.node === "string") &&
    (value.route === undefined || isRoute(value.route))
  );
}

/** Goes into a script for nft: nothing else than addresses may be in it. */
function isRoute(value: unknown): value is KernelRoute {
  if (!isRecord(value)) return false;
  if (value.kind === "forward") return true;
  return (
    value.kind === "direct" &&
    typeof value.address === "string" &&
    isIPv4(value.address) &&
    isPort(value.port) &&
    (value.subnet === "" || isSubnet(value.subnet))
  );
}

function isSubnet(value: unknown): boolean {
  const [, address = "", bits = ""] =
    /^([\d.]+)\/(\d{1,2})$/.exec(typeof value === "string" ? value : "") ?? [];
  return isIPv4(address) && Number(bits) <= 32;
}

function isTraffic(value: unknown): value is TrafficRules {
  return (
    isRecord(value) &&
    typeof value.proxyProtocol === "boolean" &&
    (value.affinity === "none" || value.affinity === "source") &&
    (value.balance === "round-robin" || value.balance === "least-connections")
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isListOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): value is readonly Item[] {
  return Array.isArray(value) && value.every(isItem);
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= HIGHEST_PORT;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
