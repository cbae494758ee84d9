import { BerthError, NetworkSpec, validateNetworkSpec } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { invalidOptionError, parseLabels } from "../../options/parse-options.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface NetworkCreateOptions extends GlobalOptions {
  readonly driver: string;
  readonly attachable?: boolean;
  readonly internal?: boolean;
  readonly subnet?: string;
  readonly opt?: readonly string[];
  readonly label?: readonly string[];
}

const DRIVERS = ["overlay", "bridge"];
const MTU_OPTION = "com.docker.network.driver.mtu";

/** `berth network create NETWORK`: creates a network that does not belong to a stack. */
export async function createNetwork(cli: Cli, options: NetworkCreateOptions, name: string): Promise<void> {
  const spec = networkSpecFrom(options, name);
  const [violation] = validateNetworkSpec(spec);
  if (violation !== undefined) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: violation.message });
  }
  const { network } = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.createNetwork({ spec }, { signal: cli.signal })),
  );
  const id = network?.id ?? "";
  if (options.output === "json") {
    printJson(cli, { id, name, subnet: network?.subnet ?? "" });
  } else {
    cli.stdout.write(`${id}\n`);
  }
}

function networkSpecFrom(options: NetworkCreateOptions, name: string): NetworkSpec {
  if (!DRIVERS.includes(options.driver)) {
    throw invalidOptionError(
      "--driver",
      `${JSON.stringify(options.driver)} is not a supported driver; use ${DRIVERS.join(" or ")}`,
    );
  }
  const spec = NetworkSpec.fromPartial({
    name,
    internal: options.internal ?? false,
    attachable: options.attachable ?? false,
    subnet: options.subnet ?? "",
    labels: parseLabels("--label", options.label ?? []),
  });
  for (const text of options.opt ?? []) applyDriverOption(spec, text);
  return spec;
}

function applyDriverOption(spec: NetworkSpec, text: string): void {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? "" : text.slice(equals + 1);
  if (key === "encrypted") {
    spec.encrypted = parseEncrypted(text, value);
  } else if (key === MTU_OPTION && /^[1-9][0-9]{0,4}$/.test(value)) {
    spec.mtu = Number(value);
  } else {
    throw invalidOptionError("--opt", `${JSON.stringify(text)} is not encrypted=true or ${MTU_OPTION}=BYTES`);
  }
}

/** Parses `encrypted=BOOLEAN`. Without a value it is true, as in Docker's overlay driver. */
function parseEncrypted(text: string, value: string): boolean {
  if (value === "" || value === "true") return true;
  if (value === "false") return false;
  throw invalidOptionError("--opt", `${JSON.stringify(text)} is not encrypted=true or encrypted=false`);
}
