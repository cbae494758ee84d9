import { NetworkAttachment } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";

/** Driver option with which Docker names a container's interface in the network. */
const INTERFACE_OPTION = "com.docker.network.endpoint.ifname";
const VALID_KEYS = "name, alias, ip, mac-address, link-local-ip and driver-opt";

/** Parses `NETWORK`, or Docker's long form `name=NETWORK,alias=NAME`. */
export function parseNetworkFlag(text: string): Parsed<NetworkAttachment> {
  const attachment = NetworkAttachment.fromPartial({});
  for (const field of text.includes("=") ? text.split(",") : [`name=${text}`]) {
    const problem = applyField(field, attachment);
    if (problem !== undefined) return invalid(problem);
  }
  return attachment.network === "" ? invalid("the network has no name; set name=NETWORK") : valid(attachment);
}

/** Sets a field of the attachment. Returns why it is invalid. */
function applyField(field: string, attachment: NetworkAttachment): string | undefined {
  const [, key, value] = /^([a-z0-9-]+)=(.+)$/.exec(field.trim()) ?? [];
  switch (key) {
    case undefined:
      return `${JSON.stringify(field)} is not KEY=VALUE`;
    case "name":
      attachment.network = value ?? "";
      return undefined;
    case "alias":
      attachment.aliases.push(value ?? "");
      return undefined;
    case "ip":
      attachment.ipv4Address = value ?? "";
      return undefined;
    case "mac-address":
      attachment.macAddress = value ?? "";
      return undefined;
    case "link-local-ip":
      attachment.linkLocalIps.push(value ?? "");
      return undefined;
    case "driver-opt":
      return applyDriverOption(value ?? "", attachment);
    default:
      return `unknown key ${JSON.stringify(key)}; use ${VALID_KEYS}`;
  }
}

function applyDriverOption(option: string, attachment: NetworkAttachment): string | undefined {
  const [name, value = ""] = option.split("=", 2);
  if (name !== INTERFACE_OPTION) {
    return `unknown driver option ${JSON.stringify(name)}; use ${INTERFACE_OPTION}`;
  }
  attachment.interfaceName = value;
  return undefined;
}
