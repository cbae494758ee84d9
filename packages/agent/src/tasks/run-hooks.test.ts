import { Hook } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import type { Engine, ExecOptions, OutputChunk } from "../engine/engine.js";
import { EngineError } from "../engine/engine-error.js";
import { runHooks } from "./run-hooks.js";

const { signal } = new AbortController();
const hook = (command: string, over: Partial<Hook> = {}): Hook =>
  Hook.fromPartial({ command: [command], ...over });

interface FakeResult {
  readonly exitCode?: number;
  readonly output?: string;
  readonly error?: Error;
  readonly hangs?: boolean;
}

const unused = (): never => {
  throw new Error("hooks need no input, terminal or signal");
};
const UNUSED = { write: unused, endInput: unused, resize: unused, kill: unused };

/** An engine whose commands have these results, by program. */
function engineWith(
  results: Readonly<Record<string, FakeResult>>,
  container: Partial<Parameters<typeof containerWith>[0]> = {},
) {
  const calls: ExecOptions[] = [];
  const exec: Engine["exec"] = async (_, options) => {
    calls.push(options);
    const { exitCode = 0, output = "", error, hangs = false } = results[options.command[0] ?? ""] ?? {};
    if (error !== undefined) throw error;
    async function* chunks(): AsyncGenerator<OutputChunk> {
      yield { stream: "stdout", bytes: Buffer.from(output) };
      if (hangs) {
        options.signal.throwIfAborted();
        await new Promise((_resolve, reject) => {
          options.signal.addEventListener("abort", () => reject(options.signal.reason));
        });
      }
    }
    return { ...UNUSED, output: chunks(), exitCode: async () => exitCode };
  };
  const engine = { exec, inspect: async () => containerWith(container) };
  return { engine, calls };
}

const run = (hooks: readonly Hook[], timeoutMs = 5_000) => ({
  ...({ phase: "post-start", containerId: "c1", processId: 1_000 } as const),
  hooks,
  timeoutMs,
});

describe("runHooks", () => {
  test("runs all hooks with their settings, one after the other", async () => {
    const { engine, calls } = engineWith({});
    const hooks = [
      hook("a", { user: "root", privileged: true, workingDir: "/srv", env: ["A=1"] }),
      hook("b"),
    ];
    expect(await runHooks(engine, run(hooks), signal)).toMatchObject({
      kind: "hooks-run",
      phase: "post-start",
      containerId: "c1",
      processId: 1_000,
      failure: "",
    });
    expect(calls).toMatchObject([
      { command: ["a"], user: "root", privileged: true, workingDir: "/srv", env: ["A=1"], tty: false },
      { command: ["b"], user: "", privileged: false },
    ]);
  });

  test("ends with the first hook that fails, and quotes the end of its output", async () => {
    const { engine, calls } = engineWith({ a: { exitCode: 3, output: `${"x".repeat(5_000)}\nno disk\n` } });
    const outcome = await runHooks(engine, run([hook("a"), hook("b")]), signal);
    expect(outcome).toMatchObject({
      kind: "hooks-run",
      failure: expect.stringMatching(/^post_start hook "a" ended with exit code 3: x+\nno disk$/),
    });
    if (outcome.kind === "hooks-run") expect(outcome.failure.length).toBeLessThan(1_200);
    expect(calls).toHaveLength(1);
  });

  test("reports hooks that cannot be started, and those that do not end in time", async () => {
    const missing = engineWith({ a: { error: new EngineError("invalid", "no such user") } });
    expect(await runHooks(missing.engine, run([hook("a")]), signal)).toMatchObject({
      failure: 'post_start hook "a" could not be started: no such user',
    });
    const hanging = engineWith({ a: { hangs: true } });
    expect(
      await runHooks(hanging.engine, { ...run([hook("a")], 50), phase: "pre-stop" }, signal),
    ).toMatchObject({
      phase: "pre-stop",
      failure: 'pre_stop hook "a" did not finish within 0.05 s',
    });
  });

  test("returns the container instead of a failure when it has ended meanwhile", async () => {
    const { engine } = engineWith({ a: { exitCode: 137 } }, { state: "exited", exitCode: 1 });
    expect(await runHooks(engine, run([hook("a")]), signal)).toMatchObject({
      kind: "observed",
      container: { state: "exited", exitCode: 1 },
    });
  });

  test("rejects when Docker is unavailable or the step is canceled", async () => {
    const away = engineWith({ a: { error: new EngineError("unavailable", "away") } });
    await expect(runHooks(away.engine, run([hook("a")]), signal)).rejects.toThrow("away");
    const controller = new AbortController();
    const hanging = engineWith({ a: { hangs: true } });
    const running = runHooks(hanging.engine, run([hook("a")]), controller.signal);
    controller.abort(new Error("canceled"));
    await expect(running).rejects.toThrow("canceled");
  });
});
