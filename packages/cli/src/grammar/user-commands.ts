import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Default validity of an invitation, long enough for a person who reads it the next day. An invitation works once. */
const DEFAULT_INVITATION_TTL = "24h";

/** Adds `berth user …`. */
export function addUserCommands(program: Command, cli: Cli): void {
  const user = program.command("user").description("Manage users");
  addExamples(
    user
      .command("invite")
      .argument("<name>")
      .description(
        "Create or change a user, and show an invitation that the user exchanges for a certificate",
      )
      .addOption(
        new Option(
          "--role <role>",
          "viewer: may read; deployer: may also change stacks and run commands in their containers; admin: may do everything",
        )
          .choices(["viewer", "deployer", "admin"])
          .makeOptionMandatory(),
      )
      .option("--stack <pattern>", "limit a deployer to the stacks that match a glob")
      .option("--ttl <duration>", "validity of the invitation: 1m to 30d", DEFAULT_INVITATION_TTL)
      .option("-q, --quiet", "only display the invitation (default if the output is not a terminal)")
      .addHelpText(
        "after",
        `
A user who exists gets the new role at once, keeps the certificate, and gets a new invitation for another computer.`,
      )
      .action(lazyAction(cli, async () => (await import("../commands/user/invite.js")).inviteUser)),
    [
      "berth user invite alice --role admin",
      "berth user invite ci --role deployer --stack 'shop-*' > invitation",
    ],
  );
  addExamples(
    user
      .command("ls")
      .alias("list")
      .description("List users")
      .option("-q, --quiet", "only display names")
      .action(lazyAction(cli, async () => (await import("../commands/user/ls.js")).listUsers)),
    ["berth user ls"],
  );
  addExamples(
    user
      .command("rm")
      .alias("remove")
      .argument("<user...>")
      .description("Remove one or more users; their certificates and invitations become invalid at once")
      .action(lazyAction(cli, async () => (await import("../commands/user/rm.js")).removeUsers)),
    ["berth user rm alice"],
  );
}
