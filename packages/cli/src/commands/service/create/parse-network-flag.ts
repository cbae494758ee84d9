import { NetworkAttachment } from "@berth/proto";
import { invalidOption } from "../../../options/parse-options.js";

/** Parses `NETWORK`, or Docker's long form `name=NETWORK,alias=NAME`. */
export function parseNetworkFlag(text: string): NetworkAttachment {
  const attachment = NetworkAttachment.fromPartial({});
  const fields = text.includes("=") ? text.split(",") : [`name=${text}`];
  for (const field of fields) {
    const [, key, value] = /^([a-z0-9]+)=(.+)$/.exec(field.trim()) ?? [];
    if (value === undefined) throw invalidOption("--network", `${JSON.stringify(field)} is not KEY=VALUE`);
    if (key === "name") attachment.network = value;
    else if (key === "alias") attachment.aliases.push(value);
    else if (key === "ip") attachment.ipv4Address = value;
    else throw invalidOption("--network", `unknown key ${JSON.stringify(key)}: use name, alias or ip`);
  }
  if (attachment.network === "")
    throw invalidOption("--network", "the network has no name: set name=NETWORK");
  return attachment;
}
