import { expect, it } from "vitest";
import type { ProgramResult, RunProgram } from "../../runtime/run-program.js";
import { ForwardingRules } from "./forwarding.js";

const { signal } = new AbortController();
const DONE: ProgramResult = { kind: "done", stdout: "" };
const ABSENT: ProgramResult = { kind: "failed", reason: "Bad rule", exitCode: 1 };
const LOCKED: ProgramResult = { kind: "failed", reason: "another process holds the lock", exitCode: 4 };

/** Restores the rules with an iptables whose checks have these results. Returns its commands and the warnings. */
async function restore(results: { readonly list: ProgramResult; readonly check: ProgramResult }) {
  const commands: string[] = [];
  const warnings: string[] = [];
  const run: RunProgram = async (_program, { args }) => {
    const command = args.find((arg) => /^-[A-Z]$/.test(arg)) ?? "";
    commands.push(command);
    if (command === "-L") return results.list;
    return command === "-C" ? results.check : DONE;
  };
  const log = { warn: ({ reason }: { readonly reason: string }) => warnings.push(reason) };
  const rules = new ForwardingRules(log as never, signal, run);
  await rules.restore();
  return { commands, warnings };
}

it("adds missing rules to Docker's chains", async () => {
  expect(await restore({ list: DONE, check: ABSENT })).toEqual({
    commands: ["-L", "-C", "-I", "-C", "-A"],
    warnings: [],
  });
});

it("adds no rule and warns when it cannot tell whether the rule is present", async () => {
  expect(await restore({ list: DONE, check: LOCKED })).toEqual({
    commands: ["-L", "-C"],
    warnings: ["another process holds the lock"],
  });
});

it("adds no rule and does not warn without Docker's user chain", async () => {
  expect(await restore({ list: ABSENT, check: ABSENT })).toEqual({ commands: ["-L"], warnings: [] });
});
