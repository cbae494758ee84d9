import { expect, it } from "vitest";
import type { IngressUser } from "../dataplane/ingress-privileges.js";
import { PROBE_DENIED } from "../dataplane/probe-privileges.js";
import type { ProgramResult, RunProgram } from "../runtime/run-program.js";
import { type ChosenUser, chooseIngressUser, DEFAULT_USER } from "./ingress-user.js";

type Results = Readonly<Record<string, ProgramResult>>;

const done = (stdout = ""): ProgramResult => ({ kind: "done", stdout });
const failure = (reason: string, exitCode: number): ProgramResult => ({ kind: "failed", reason, exitCode });
const ROOT: IngressUser = { uid: 0, gid: 0 };
const IDS = { "id -u": done("998\n"), "id -g": done("997\n") };
const UNREADABLE = failure("setpriv: failed to execute /root/node: Permission denied", 127);

/** Chooses on a host where programs, with their first argument or for any, have these results. */
function choose(name: string, results: Results, own = ROOT): Promise<ChosenUser> {
  const run: RunProgram = async (program, { args }) =>
    results[`${program} ${args[0]}`] ?? results[program] ?? { kind: "missing" };
  return chooseIngressUser(name, new AbortController().signal, { run, own });
}

it.each<[string, Results]>([
  ["is missing", { setpriv: done() }],
  ["uses nftables", { setpriv: done(), iptables: done("iptables v1.8.9 (nf_tables)\n") }],
])("the ingress process runs as a dedicated user where iptables %s", async (_what, results) => {
  expect(await choose("", results)).toEqual({ kind: "unprivileged", user: DEFAULT_USER });
  expect(await choose("berth", { ...results, ...IDS })).toEqual({
    kind: "unprivileged",
    user: { uid: 998, gid: 997 },
  });
});

it("the ingress process runs as the agent's user when that is configured", async () => {
  const ids = { "id -u": done("0\n"), "id -g": done("0\n") };
  expect(await choose("root", { ...ids, setpriv: done() })).toEqual({ kind: "privileged", user: ROOT });
});

it.each<[string, Results, string]>([
  ["without setpriv", {}, "setpriv is not installed; install util-linux"],
  ["with Node.js below /root", { setpriv: UNREADABLE }, "Permission denied; install Node.js and berth where"],
  [
    "whose nft only root may use",
    { setpriv: failure("nft: Operation not permitted", PROBE_DENIED) },
    "it lacks permission to use nft: Operation not permitted",
  ],
  [
    "with iptables-legacy",
    { setpriv: done(), iptables: done("iptables v1.8.9 (legacy)\n") },
    "iptables-legacy requires root; install iptables-nft",
  ],
  [
    "with iptables 1.6, which has legacy tables only",
    { setpriv: done(), iptables: done("iptables v1.6.1\n") },
    "requires root",
  ],
])(
  "on a host %s, the process runs as root by default, and a configured user is an error",
  async (_what, results, reason) => {
    expect(await choose("", results)).toEqual({
      kind: "fallback",
      user: ROOT,
      reason: expect.stringContaining(reason),
    });
    await expect(choose("berth", { ...results, ...IDS })).rejects.toMatchObject({
      code: "BERTH_INGRESS_FAILED",
      message: expect.stringMatching(new RegExp(`as user "berth": .*${reason}`)),
    });
  },
);

it("an agent without root runs the process as its own user", async () => {
  const own = { uid: 1_000, gid: 1_000 };
  const chosen = await choose("", { setpriv: done() }, own);
  expect(chosen).toEqual({ kind: "fallback", user: own, reason: "the agent is not running as root" });
});

it("a user that does not exist is an error", async () => {
  const unknown = failure("id: 'berth': no such user", 1);
  await expect(choose("berth", { id: unknown })).rejects.toThrow("no such user; add the user");
});

it("a probe without a result is an error, and no reason to run the process as root", async () => {
  const timeout: ProgramResult = { kind: "failed", reason: "setpriv did not finish within 20 s" };
  await expect(choose("", { setpriv: timeout })).rejects.toMatchObject({ code: "BERTH_INGRESS_FAILED" });
});
