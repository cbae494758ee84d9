import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { parsePortRange, parseProtocol, parseShortPorts } from "../../../compose/text/parse-port.js";
import type { Parsed } from "../../../compose/text/units.js";
import { choice, invalid, value } from "./flag-values.js";
import { parseFields } from "./parse-fields.js";

const PROTOCOLS = { tcp: PortSpec_Protocol.TCP, udp: PortSpec_Protocol.UDP };
const MODES = { ingress: PortSpec_Mode.INGRESS, host: PortSpec_Mode.HOST };
const KEYS = ["target", "published", "protocol", "mode"] as const;

/** `8080:80/tcp` with its ranges, or `published=8080,target=80,protocol=tcp,mode=host`. */
export function parsePortFlag(text: string): Parsed<readonly PortSpec[]> {
  if (text.includes("=")) return parseLongPort(text);
  const parsed = parseShortPorts(text);
  if (parsed.kind === "invalid") return parsed;
  const { ports, choice: range } = parsed.value;
  if (range !== undefined) return invalid(`choose one port of ${range}`);
  return value(
    ports.map((port) => ({ ...port, protocol: PROTOCOLS[port.protocol], mode: PortSpec_Mode.INGRESS })),
  );
}

/** `80` or `80/udp`: the port in the container. */
export function parsePortTarget(text: string): Parsed<Pick<PortSpec, "target" | "protocol">> {
  const [portText = "", protocolText = "tcp"] = text.split("/");
  const port = parsePortNumber(portText);
  if (port.kind === "invalid") return port;
  const protocol = parseProtocol(protocolText);
  if (protocol.kind === "invalid") return protocol;
  return value({ target: port.value, protocol: PROTOCOLS[protocol.value] });
}

function parseLongPort(text: string): Parsed<readonly PortSpec[]> {
  const fields = parseFields(text, KEYS);
  if (fields.kind === "invalid") return fields;
  const {
    target: targetText = "",
    published: publishedText,
    protocol: protocolText,
    mode: modeText,
  } = fields.value;
  const target = parsePortNumber(targetText);
  if (target.kind === "invalid") return invalid(`target: ${target.reason}`);
  const published = publishedText === undefined ? value(0) : parsePortNumber(publishedText);
  if (published.kind === "invalid") return invalid(`published: ${published.reason}`);
  const protocol = parseProtocol(protocolText ?? "tcp");
  if (protocol.kind === "invalid") return protocol;
  const mode = choice(MODES)(modeText ?? "ingress");
  if (mode.kind === "invalid") return invalid(`mode: ${mode.reason}`);
  const numbers = { target: target.value, published: published.value };
  return value([{ ...numbers, protocol: PROTOCOLS[protocol.value], mode: mode.value, hostIp: "" }]);
}

function parsePortNumber(text: string): Parsed<number> {
  const range = parsePortRange(text);
  if (range.kind === "invalid") return range;
  const [port, ...others] = range.value;
  return port === undefined || others.length > 0
    ? invalid(`${JSON.stringify(text)} is not one port`)
    : value(port);
}
