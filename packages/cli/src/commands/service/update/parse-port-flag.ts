import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { PORT_RULES, PROTOCOLS } from "../../../compose/keys/port-keys.js";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { parsePortRange, parseProtocol, parseShortPorts } from "../../../compose/text/short-port.js";
import { readInteger } from "../../../compose/tree/cursor.js";
import { type KeyTable, rule } from "../../../compose/tree/key-table.js";
import { applyFlagFields } from "./flag-fields.js";

/** Parses the value of `--publish-add`: `8080:80/tcp` with ranges, or `published=8080,target=80,mode=host`. */
export function parsePortFlag(text: string): Parsed<readonly PortSpec[]> {
  if (text.includes("=")) return parseLongPort(text);
  const parsed = parseShortPorts(text);
  if (parsed.kind === "invalid") return parsed;
  const { ports, choice } = parsed.value;
  if (choice !== undefined) return invalid(`${choice} is a range; choose one of its ports`);
  const protocol = parseProtocol(ports[0]?.protocol ?? "tcp");
  if (protocol.kind === "invalid") return protocol;
  return valid(
    ports.map((port) => ({ ...port, protocol: PROTOCOLS[protocol.value], mode: PortSpec_Mode.INGRESS })),
  );
}

/** Parses the value of `--publish-rm`, the port in the container: `80` or `80/udp`. */
export function parsePortTarget(text: string): Parsed<Pick<PortSpec, "target" | "protocol">> {
  const [portText = "", protocolText = "tcp"] = text.split("/");
  const range = parsePortRange(portText);
  if (range.kind === "invalid") return range;
  const { first: target, last } = range.value;
  if (last > target) return invalid(`${JSON.stringify(portText)} is not a single port`);
  const protocol = parseProtocol(protocolText);
  if (protocol.kind === "invalid") return protocol;
  return valid({ target, protocol: PROTOCOLS[protocol.value] });
}

const PORT_FLAG_KEYS: KeyTable<PortSpec> = {
  target: PORT_RULES.target,
  published: rule(
    (cursor) => readInteger(cursor, { min: 0, max: 65_535 }),
    (port, published) => {
      port.published = published;
    },
  ),
  protocol: PORT_RULES.protocol,
  mode: PORT_RULES.mode,
};

function parseLongPort(text: string): Parsed<readonly PortSpec[]> {
  const port: PortSpec = {
    target: 0,
    published: 0,
    hostIp: "",
    protocol: PortSpec_Protocol.TCP,
    mode: PortSpec_Mode.INGRESS,
  };
  const problem = applyFlagFields(text, PORT_FLAG_KEYS, port);
  if (problem !== undefined) return invalid(problem);
  return port.target === 0 ? invalid("the port has no target; set target=PORT") : valid([port]);
}
