import { JoinKind, JoinToken } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseLabels, parseLimit, parsePositiveDurationMs } from "../../options/parse-options.js";
import { pluralize } from "../../output/human.js";
import { tokenJson } from "../../output/identities.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface TokenOptions extends GlobalOptions {
  readonly role: "node" | "server";
  readonly ttl: string;
  readonly uses: string;
  readonly name?: string;
  readonly label?: readonly string[];
  readonly approve?: boolean;
  readonly quiet?: boolean;
}

/** A token that was just created. */
interface CreatedToken {
  readonly token: string;
  readonly record: JoinToken;
  /** "host:port" of each server. */
  readonly servers: readonly string[];
}

/** `berth token create` */
export async function createToken(cli: Cli, options: TokenOptions): Promise<void> {
  await printNewToken(cli, options, { replaceOthers: false });
}

/** `berth token rotate`: creates a token and removes all other tokens of its role. */
export async function rotateToken(cli: Cli, options: TokenOptions): Promise<void> {
  await printNewToken(cli, options, { replaceOthers: true });
}

async function printNewToken(
  cli: Cli,
  options: TokenOptions,
  { replaceOthers }: { readonly replaceOthers: boolean },
): Promise<void> {
  const request = {
    kind: options.role === "server" ? JoinKind.SERVER : JoinKind.NODE,
    ttlMs: parsePositiveDurationMs("--ttl", options.ttl),
    uses: parseLimit("--uses", options.uses),
    hostname: options.name ?? "",
    requiresApproval: options.approve ?? false,
    labels: parseLabels("--label", options.label ?? []),
    replaceOthers,
  };
  const created = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => requestToken(cli, client, request)),
  );
  if (options.output === "json") {
    printJson(cli, { token: created.token, ...tokenJson(created.record), servers: created.servers });
  } else if (options.quiet || !cli.stdout.isTty) {
    cli.stdout.write(`${created.token}\n`);
  } else {
    cli.stdout.write(instructions(created, options.role));
  }
}

/** Creates a token. Fetches the servers first, so that no token is left over when that fails. */
async function requestToken(
  { signal }: Cli,
  client: ControlClient,
  request: Parameters<ControlClient["createJoinToken"]>[0],
): Promise<CreatedToken> {
  const { servers } = await client.getCluster({}, { signal });
  const { token, record } = await client.createJoinToken(request, { signal });
  return { token, record: JoinToken.fromPartial(record ?? {}), servers };
}

/** Returns the instructions for a terminal: the command for the host, and the token that it asks for. */
function instructions({ token, record, servers }: CreatedToken, role: TokenOptions["role"]): string {
  const { subject, usesLeft, expiresAtMs, requiresApproval } = record;
  const [server = "HOST:PORT"] = servers;
  const command = role === "server" ? "berth server join" : "berth agent join";
  const host = subject === "" ? "a host" : `the host ${subject}`;
  const lines = [
    `To add ${host} as a ${role}, run this command on it and enter the token:`,
    "",
    `    ${command} ${server}`,
    "",
    `Token, valid for ${pluralize(usesLeft, "use")} until ${new Date(expiresAtMs).toISOString()}:`,
    "",
    `    ${token}`,
    "",
  ];
  if (requiresApproval) lines.push("The node waits until you run: berth node accept NODE", "");
  return lines.join("\n");
}
