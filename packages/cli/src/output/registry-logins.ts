import type { RegistryCredentials, RegistryLogin } from "@berth/proto";
import { formatTimeSince } from "./human.js";
import type { Listing } from "./print.js";

/** Describes the output of `berth registry ls`, as a table and as JSON. */
export function loginListing(rows: readonly RegistryLogin[], nowMs: number): Listing<RegistryLogin> {
  return {
    rows,
    id: ({ server }) => server,
    json: loginJson,
    columns: [
      { title: "SERVER", cell: ({ server }) => server },
      {
        title: "USERNAME",
        cell: ({ username, isIdentityToken }) => username || (isIdentityToken ? "<token>" : ""),
      },
      { title: "STACK", cell: ({ stack }) => stack || "*" },
      { title: "UPDATED", cell: ({ updatedAtMs }) => formatTimeSince(updatedAtMs, nowMs) },
    ],
  };
}

/** Returns a line for each registry whose credentials were sent. */
export function registryAuthLines(credentials: readonly RegistryCredentials[]): string {
  return credentials
    .map(({ server, username }) => `Storing registry login for ${server} as ${username || "<token>"}\n`)
    .join("");
}

export function loginJson({ server, username, stack, isIdentityToken, updatedAtMs }: RegistryLogin): object {
  return { server, username, stack, identityToken: isIdentityToken, updatedAtMs };
}
