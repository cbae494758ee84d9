import { expect, it } from "vitest";
import type { ProgramResult, RunProgram } from "../runtime/run-program.js";
import { findIngressUser } from "./ingress-user.js";

const done = (stdout: string): ProgramResult => ({ kind: "done", stdout });
const { signal } = new AbortController();

/** A host on which programs, called with their first argument, have these results. */
function host(results: Readonly<Record<string, ProgramResult>>): RunProgram {
  return async (program, { args }) => results[`${program} ${args[0]}`] ?? { kind: "missing" };
}

const IDS = { "id -u": done("998\n"), "id -g": done("997\n") };

it("findIngressUser returns the user's IDs where iptables is missing or uses nftables", async () => {
  const nft = { "iptables --version": done("iptables v1.8.9 (nf_tables)\n") };
  for (const results of [IDS, { ...IDS, ...nft }]) {
    expect(await findIngressUser("berth", signal, host(results))).toEqual({ uid: 998, gid: 997 });
  }
});

it.each<[string, Readonly<Record<string, ProgramResult>>, string]>([
  [
    "an unknown user",
    { "id -u": { kind: "failed", reason: "id: 'berth': no such user" } },
    "no such user: add the user",
  ],
  ["iptables-legacy", { ...IDS, "iptables --version": done("iptables v1.8.9 (legacy)\n") }, "requires root"],
  [
    "iptables 1.6, which has legacy tables only",
    { ...IDS, "iptables --version": done("iptables v1.6.1\n") },
    "requires root",
  ],
])("findIngressUser rejects %s", async (_what, results, message) => {
  const found = findIngressUser("berth", signal, host(results));
  await expect(found).rejects.toThrow(message);
  await expect(found).rejects.toMatchObject({ code: "BERTH_INGRESS_FAILED" });
});
