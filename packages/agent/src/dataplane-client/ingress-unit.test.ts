import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ProgramResult } from "../runtime/run-program.js";
import { IngressUnit } from "./ingress-unit.js";

const { signal } = new AbortController();
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-ingress-unit-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function unitWith(result: ProgramResult = { kind: "done", stdout: "" }) {
  const run = vi.fn(async (_program: string, _call: { readonly args: readonly string[] }) => result);
  const script = join(directory, "run/ingress.sh");
  return { unit: new IngressUnit({ name: "berth-ingress.service", script, run }), run, script };
}

it("setCommand() writes a script that only root can change, and that runs the command in its directory", () => {
  const { unit, script } = unitWith();
  unit.setCommand("/", ["echo", "replaced by the second command"]);
  unit.setCommand(directory, ["sh", "-c", 'echo "$PWD" "$1"', "sh", `it's "$HOME" \\`]);
  expect(execFileSync(script, { encoding: "utf8" })).toBe(`${directory} it's "$HOME" \\\n`);
  expect(statSync(script).mode & 0o777).toBe(0o700);
  expect(readdirSync(join(directory, "run"))).toEqual(["ingress.sh"]);
});

it("start() does not wait for the process, and restart() does", async () => {
  const { unit, run } = unitWith();
  await unit.start(signal);
  await unit.restart(signal);
  expect(run.mock.calls.map(([program, { args }]) => [program, ...args])).toEqual([
    ["systemctl", "--no-block", "start", "berth-ingress.service"],
    ["systemctl", "restart", "berth-ingress.service"],
  ]);
});

it("a unit that cannot be started is an error with the reason", async () => {
  const { unit } = unitWith({ kind: "failed", reason: "Unit berth-ingress.service not found." });
  await expect(unit.start(signal)).rejects.toMatchObject({
    code: "BERTH_INGRESS_FAILED",
    message:
      "cannot start the unit berth-ingress.service of the ingress process: Unit berth-ingress.service not found.",
  });
});
