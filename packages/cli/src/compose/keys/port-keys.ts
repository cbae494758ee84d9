import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { type PortRange, parsePortRange, parseProtocol } from "../text/short-port.js";
import { type Cursor, readChoice, readInteger, readItems, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey } from "./unsupported-keys.js";

const PORT_RANGE = { min: 1, max: 65_535 };
const PORT_MODES = { ingress: PortSpec_Mode.INGRESS, host: PortSpec_Mode.HOST };
export const PROTOCOLS = { tcp: PortSpec_Protocol.TCP, udp: PortSpec_Protocol.UDP };

/** Rules for properties of a port, shared by the long form in Compose files and the `--publish-add` flag. */
export const PORT_RULES = {
  target: rule(
    (cursor) => readInteger(cursor, PORT_RANGE),
    (port: PortSpec, target) => {
      port.target = target;
    },
  ),
  protocol: rule(readProtocol, (port: PortSpec, protocol) => {
    port.protocol = PROTOCOLS[protocol];
  }),
  mode: rule(
    (cursor) => readChoice(cursor, PORT_MODES),
    (port: PortSpec, mode) => {
      port.mode = mode;
    },
  ),
};

interface PortDraft extends PortSpec {
  /** Set when the file specifies a range to choose from. */
  range?: PortRange;
}

const PORT_FIELDS: KeyTable<PortDraft> = {
  ...PORT_RULES,
  published: rule(readPublished, (port, range) => {
    port.published = range.first;
    if (range.last > range.first) port.range = range;
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
      const draftedPort: PortDraft = {
        target: 0,
        published: 0,
        hostIp: "",
        protocol: PortSpec_Protocol.TCP,
        mode: PortSpec_Mode.INGRESS,
      };
      applyKeys(item, PORT_FIELDS, draftedPort);
      const { range, ...port } = draftedPort;
      if (range !== undefined) draft.portRanges.push({ range, place: item });
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

function readPublished(cursor: Cursor): PortRange | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const range = parsePortRange(text);
  if (range.kind === "invalid") {
    cursor.diagnostics.error(cursor, range.reason);
    return undefined;
  }
  return range.value;
}

/**
 * Warns about ranges of published ports. Docker gives each container the first free port of the range; in a cluster,
 * all replicas share the first port of the range.
 */
export function warnAboutPortRanges({ portRanges, mode, context }: ServiceDraft): void {
  const replicas = mode.replicas ?? 1;
  for (const { range, place } of portRanges) {
    const text = `${range.first}-${range.last}`;
    if (replicas > 1) {
      const message = `ignored: a separate port of ${text} for each of the ${replicas} replicas: all of them share port ${range.first}`;
      context.diagnostics.warnIgnored(place, message);
    } else {
      context.diagnostics.warn(place, `all hosts publish the same port: the first port of ${text}`);
    }
  }
}
