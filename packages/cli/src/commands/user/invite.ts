import { User, UserRole } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parsePositiveDurationMs } from "../../options/parse-options.js";
import { userJson } from "../../output/identities.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface InviteOptions extends GlobalOptions {
  readonly role: keyof typeof USER_ROLES;
  readonly stack?: string;
  readonly ttl: string;
  readonly quiet?: boolean;
}

const USER_ROLES = { viewer: UserRole.VIEWER, deployer: UserRole.DEPLOYER, admin: UserRole.ADMIN } as const;

/** `berth user invite NAME`: creates or changes a user, and prints an invitation. */
export async function inviteUser(cli: Cli, options: InviteOptions, name: string): Promise<void> {
  const ttlMs = parsePositiveDurationMs("--ttl", options.ttl);
  const request = { name, role: USER_ROLES[options.role], stacks: options.stack ?? "", ttlMs };
  const { signal } = cli;
  const { servers, invitation, user } = await withClient(cli, options, (client) =>
    retryDuringElection(cli, async () => {
      const cluster = await client.getCluster({}, { signal });
      return { servers: cluster.servers, ...(await client.inviteUser(request, { signal })) };
    }),
  );
  if (options.output === "json") {
    printJson(cli, {
      invitation,
      expiresAtMs: cli.now() + ttlMs,
      user: userJson(User.fromPartial(user ?? {})),
      servers,
    });
  } else if (options.quiet || !cli.stdout.isTty) {
    cli.stdout.write(`${invitation}\n`);
  } else {
    cli.stdout.write(instructions({ name, ttl: options.ttl, servers, invitation }));
  }
}

interface CreatedInvitation {
  readonly name: string;
  /** Validity, as in the option. */
  readonly ttl: string;
  readonly servers: readonly string[];
  readonly invitation: string;
}

/** Returns the instructions for a terminal: the command for the user, and the invitation that it asks for. */
function instructions({ name, ttl, servers, invitation }: CreatedInvitation): string {
  return [
    `Send the invitation to ${name} over a secure channel. To accept it, run this command and enter the invitation:`,
    "",
    `    berth context create NAME --server ${servers.join(",") || "HOST:PORT"} --invitation-file -`,
    "",
    `Invitation, valid once within ${ttl}:`,
    "",
    `    ${invitation}`,
    "",
  ].join("\n");
}
