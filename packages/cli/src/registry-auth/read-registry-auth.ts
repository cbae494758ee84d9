import { join } from "node:path";
import { BerthError, type RegistryCredentials, registryOf, type ServiceSpec } from "@berth/proto";
import { readFileIfPresent } from "../commands/shared/input-files.js";
import { printWarning } from "../output/print.js";
import type { Cli } from "../process/cli.js";
import { askCredentialHelper } from "./credential-helper.js";
import {
  type CredentialEntry,
  type CredentialLookup,
  lookUpCredentials,
  parseDockerConfig,
} from "./docker-config.js";

/**
 * Returns the credentials for the images' registries that `docker login` has stored for this user. Warns about
 * registries without credentials.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all credentials that cannot be read
 */
export async function readRegistryAuth(
  cli: Cli,
  specs: readonly ServiceSpec[],
): Promise<readonly RegistryCredentials[]> {
  const images = specs.flatMap(({ task }) => task?.container?.image ?? []);
  const servers = [...new Set(images.map(registryOf))].sort();
  const path = join(cli.env.DOCKER_CONFIG || join(cli.homeDirectory, ".docker"), "config.json");
  const bytes = readFileIfPresent(path);
  const config = parseDockerConfig(Buffer.from(bytes ?? "{}").toString("utf8"), path);
  const credentials: RegistryCredentials[] = [];
  const problems: string[] = [];
  // Sequential, because a helper may ask the user to unlock a keychain.
  for (const server of servers) {
    const entry = await askHelperIfAny(cli, server, lookUpCredentials(server, config));
    if (entry.kind === "credentials") {
      credentials.push(entry.credentials);
    } else if (entry.kind === "invalid") {
      problems.push(`${server}: ${entry.reason}`);
    } else {
      printWarning(cli, `no credentials for ${server} in ${path}; log in with docker login ${server}`);
    }
  }
  if (problems.length === 0) return credentials;
  const message = `cannot read the credentials in ${path}: ${problems.join("; ")}`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Returns the credentials that were looked up, from the credential helper if the registry has one. */
async function askHelperIfAny(cli: Cli, server: string, lookup: CredentialLookup): Promise<CredentialEntry> {
  if (lookup.kind !== "helper") return lookup;
  const { env, signal } = cli;
  return askCredentialHelper({ name: lookup.name, server, env, signal });
}
