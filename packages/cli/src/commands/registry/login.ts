import { BerthError, credentialProblems, parseRegistryServer, RegistryLogin } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import { loginJson } from "../../output/registry-logins.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface LoginOptions extends GlobalOptions {
  readonly username: string;
  readonly passwordStdin?: boolean;
  readonly skipCheck?: boolean;
}

/** Timeout of the call, during which the Docker daemon of a node connects to the registry. */
const LOGIN_TIMEOUT_MS = 60_000;

/** `berth registry login SERVER` */
export async function loginToRegistry(cli: Cli, options: LoginOptions, name: string): Promise<void> {
  const server = requireServer(name);
  const { username, skipCheck = false } = options;
  const secret = await readPassword(cli, options);
  const credentials = { server, username, secret, isIdentityToken: false };
  const problems = credentialProblems(credentials);
  if (problems.length > 0) throw invalidInputError(`cannot log in to ${server}: ${problems.join("; ")}`);
  const call = { signal: cli.signal, timeoutMs: LOGIN_TIMEOUT_MS };
  const response = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.putRegistryLogin({ credentials, skipCheck }, call)),
  );
  const { login = RegistryLogin.fromPartial({}), checkedBy } = response;
  if (options.output === "json") {
    printJson(cli, { ...loginJson(login), checkedBy });
  } else {
    const check = checkedBy === "" ? "not checked with the registry" : `checked by node ${checkedBy}`;
    cli.stdout.write(`Login to ${login.server} as ${login.username} stored (${check})\n`);
  }
}

/**
 * Returns the server in its canonical form.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
function requireServer(name: string): string {
  const server = parseRegistryServer(name);
  if (server !== undefined) return server;
  throw invalidInputError(
    `${JSON.stringify(name)} is not a registry; specify its host, such as ghcr.io or registry.example.com:5000`,
  );
}

/** Reads the password. An argument would be visible to other users of the host. */
async function readPassword(cli: Cli, { passwordStdin = false }: LoginOptions): Promise<string> {
  if (passwordStdin) {
    // As in docker login, one final line break is not part of the password.
    return Buffer.from(await cli.readStdin())
      .toString("utf8")
      .replace(/\r?\n$/, "");
  }
  if (cli.streams.isInputTty) return cli.readSecret({ file: "-", prompt: "Password: ", what: "password" });
  throw invalidInputError(
    "standard input is not a terminal; use --password-stdin to read the password from it",
  );
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
