import { MAX_PORTS_PER_SERVICE } from "@berth/proto";
import { parsePortProtocol, parsePortRange, parseShortPorts, type ShortPort } from "../text/short-port.js";
import { type Cursor, readItems, reportWrongType } from "../tree/cursor.js";
import { portKey, uniqueItems } from "../tree/merge-rules.js";
import {
  hasVariables,
  listNode,
  type MapNode,
  mapNode,
  type Node,
  scalarNode,
  withEntry,
} from "../tree/node.js";
import { fields, key } from "./shapes/map-shapes.js";
import { integer, scalarAsText, text } from "./shapes/scalar-shapes.js";
import { defineShape, reportInvalid, type Shape } from "./shapes/shape.js";
import { choiceOf, listSchema, TEXT_SCHEMA, type ValueSchema } from "./shapes/value-schema.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

const DEFAULT_MODE = "ingress";
const DEFAULT_PROTOCOL = "tcp";
const PORT_SCHEMA: ValueSchema = { kind: "scalar", types: ["string", "number"] };

/** Returns the long forms of the ports of one short form. */
function shortPorts(cursor: Cursor): readonly Node[] {
  const { node } = cursor;
  if (hasVariables(node)) return [node];
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    reportWrongType(cursor, 'a port such as "8080:80"');
    return [];
  }
  const parsed = reportInvalid(cursor, parseShortPorts(String(node.value)));
  if (parsed === undefined) return [];
  const { choice } = parsed;
  return parsed.ports.map((port) => portNode(port, choice, node));
}

/** Returns the long form of a port of the short form. */
function portNode(
  { hostIp, published, target, protocol }: ShortPort,
  choice: string | undefined,
  node: Node,
): MapNode {
  const { position } = node;
  const publishedText = choice ?? (published === 0 ? undefined : String(published));
  const optional = (key: string, value: string | undefined): readonly (readonly [string, Node])[] =>
    value === undefined || value === "" ? [] : [[key, scalarNode(value, position)]];
  return mapNode(
    [
      ["mode", scalarNode(DEFAULT_MODE, position)],
      ...optional("host_ip", hostIp),
      ["target", scalarNode(target, position)],
      ...optional("published", publishedText),
      ["protocol", scalarNode(protocol, position)],
    ],
    position,
  );
}

const protocol = defineShape(TEXT_SCHEMA, (cursor, stage) => {
  const node = text(cursor, stage);
  const parsed = node?.kind === "scalar" ? reportInvalid(cursor, parsePortProtocol(node.text)) : undefined;
  return parsed === undefined ? undefined : scalarNode(parsed, cursor.position);
});

const published = defineShape(PORT_SCHEMA, (cursor, stage) => {
  const node = scalarAsText(cursor, stage);
  if (node?.kind !== "scalar" || ["", "0"].includes(String(node.value))) return undefined;
  return reportInvalid(cursor, parsePortRange(String(node.value))) && node;
});

const longFields = fields(
  {
    name: key(text, "Name of the port. Documentation only", "web", {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
    mode: key(
      text,
      "`ingress` publishes the port on every host, `host` on the hosts that run a task",
      "host",
      {
        compose: "no effect",
      },
    ),
    host_ip: key(text, "Host address to publish the port on", "127.0.0.1", REJECTED_BY_SWARM),
    target: key(integer, "Container port", 80),
    published: key(published, "Published port, or a range to choose from", "8080", {
      others: ["8000-8010"],
      swarm: "rejects text",
    }),
    protocol: key(protocol, "Protocol: tcp or udp", "udp", { others: ["sctp"] }),
    app_protocol: key(text, "Application protocol. Documentation only", "http", {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
  },
  ["target"],
);

const longPort = defineShape(longFields.schema, (cursor, stage) => {
  const port = longFields(cursor, stage);
  if (port?.kind !== "map") return undefined;
  const defaults = [
    ["mode", DEFAULT_MODE],
    ["protocol", DEFAULT_PROTOCOL],
  ] as const;
  return defaults.reduce(
    (map, [key, value]) =>
      map.entries.has(key) ? map : withEntry(map, key, scalarNode(value, cursor.position)),
    port,
  );
});

/** The ports of a service. A range in the short form becomes several ports. */
export const ports: Shape = defineShape(
  listSchema(choiceOf(PORT_SCHEMA, longPort.schema)),
  (cursor, stage) => {
    const items = readItems(cursor);
    if (items === undefined) return undefined;
    const expanded: Node[] = [];
    for (const item of items) {
      const canonical = item.node.kind === "map" ? [longPort(item, stage)] : shortPorts(item);
      if (expanded.length + canonical.length > MAX_PORTS_PER_SERVICE) {
        item.diagnostics.error(item, `too many ports (maximum ${MAX_PORTS_PER_SERVICE})`);
        break;
      }
      expanded.push(...canonical.filter((port) => port !== undefined));
    }
    return listNode(uniqueItems(expanded, portKey), cursor.position);
  },
);
