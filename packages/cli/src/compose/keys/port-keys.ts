import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { parsePortRange, parseProtocol } from "../text/short-port.js";
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

const PORT_FIELDS: KeyTable<PortSpec> = {
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

/** Reads the `ports` of a service. */
export const PORT_KEYS: KeyTable<ServiceDraft> = {
  ports: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const port: PortSpec = {
        target: 0,
        published: 0,
        hostIp: "",
        protocol: PortSpec_Protocol.TCP,
        mode: PortSpec_Mode.INGRESS,
      };
      applyKeys(item, PORT_FIELDS, port);
      draft.origins.set(`ports[${draft.spec.ports.length}]`, item);
      draft.spec.ports.push(port);
    }
  },
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
  if (text === undefined) return undefined;
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
  const message = `all hosts publish the same port, the first one of ${range}`;
  cursor.diagnostics.warn(cursor, message);
}
