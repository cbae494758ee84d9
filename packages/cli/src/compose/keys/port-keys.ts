import { MAX_PORTS_PER_SERVICE, type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { parsePortRange, parseProtocol, parseShortPorts, type ShortPort } from "../text/short-port.js";
import { type Cursor, readChoice, readInteger, readItems, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey } from "./unsupported-keys.js";

const PORT = { min: 1, max: 65_535 };
const MODES = { ingress: PortSpec_Mode.INGRESS, host: PortSpec_Mode.HOST };
export const PROTOCOLS = { tcp: PortSpec_Protocol.TCP, udp: PortSpec_Protocol.UDP };

/** The rules for properties of a port, shared by the long form in Compose files and the `--publish-add` flag. */
export const PORT_RULES = {
  target: rule(
    (cursor) => readInteger(cursor, PORT),
    (port: PortSpec, target) => {
      port.target = target;
    },
  ),
  protocol: rule(readProtocol, (port: PortSpec, protocol) => {
    port.protocol = PROTOCOLS[protocol];
  }),
  mode: rule(
    (cursor) => readChoice(cursor, MODES),
    (port: PortSpec, mode) => {
      port.mode = mode;
    },
  ),
};

/** Reads the `ports` of a service in the short and the long form. */
export const PORT_KEYS: KeyTable<ServiceDraft> = {
  ports: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const ports = readPorts(item);
      if (draft.spec.ports.length + ports.length > MAX_PORTS_PER_SERVICE) {
        cursor.diagnostics.error(item, `too many ports (maximum ${MAX_PORTS_PER_SERVICE})`);
        return;
      }
      for (const port of ports) {
        draft.origins.set(`ports[${draft.spec.ports.length}]`, item);
        draft.spec.ports.push(port);
      }
    }
  },
};

function readPorts(cursor: Cursor): readonly PortSpec[] {
  if (cursor.node.kind === "map") return readLongPort(cursor);
  const text = readText(cursor);
  if (text === undefined) return [];
  const parsed = parseShortPorts(text);
  if (parsed.kind === "invalid") {
    cursor.diagnostics.error(cursor, parsed.reason);
    return [];
  }
  const { ports, choice } = parsed.value;
  if (choice !== undefined) warnAboutRange(cursor, choice);
  return ports.map(portSpec);
}

function portSpec({ hostIp, published, target, protocol }: ShortPort): PortSpec {
  return { hostIp, published, target, protocol: PROTOCOLS[protocol], mode: PortSpec_Mode.INGRESS };
}

function readLongPort(cursor: Cursor): readonly PortSpec[] {
  const port: PortSpec = {
    target: 0,
    published: 0,
    hostIp: "",
    protocol: PortSpec_Protocol.TCP,
    mode: PortSpec_Mode.INGRESS,
  };
  applyKeys(cursor, LONG_PORT_KEYS, port);
  if (port.target !== 0) return [port];
  const isReported = cursor.node.kind === "map" && cursor.node.entries.has("target");
  if (!isReported) cursor.diagnostics.error(cursor, "the port has no target: set the port in the container");
  return [];
}

const LONG_PORT_KEYS: KeyTable<PortSpec> = {
  ...PORT_RULES,
  published: rule(readPublished, (port, published) => {
    port.published = published;
  }),
  host_ip: rule(readText, (port, address) => {
    port.hostIp = address;
  }),
  name: ignoreKey(),
  app_protocol: ignoreKey(),
};

function readProtocol(cursor: Cursor): "tcp" | "udp" | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const parsed = parseProtocol(text);
  if (parsed.kind === "value") return parsed.value;
  cursor.diagnostics.error(cursor, parsed.reason);
  return undefined;
}

function readPublished(cursor: Cursor): number | undefined {
  const text = readText(cursor);
  if (text === undefined || text === "" || text === "0") return undefined;
  const range = parsePortRange(text);
  if (range.kind === "invalid") {
    cursor.diagnostics.error(cursor, range.reason);
    return undefined;
  }
  const { first, last } = range.value;
  if (last > first) warnAboutRange(cursor, text);
  return first;
}

function warnAboutRange(cursor: Cursor, range: string): void {
  const message = `a range of published ports is not supported yet: the first port of ${range} is used`;
  cursor.diagnostics.warn(cursor, message);
}
