import { setTimeout as sleep } from "node:timers/promises";
import {
  ExecCommand,
  type ExecInput,
  type PushExecRequest,
  type PushExecResponse,
  StartExec,
} from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import type { EngineStream, OutputChunk } from "../engine/engine.js";
import { ExecRelay } from "./exec-relay.js";

/** A command that runs until its input ends or it receives a signal. */
class EndlessCommand implements EngineStream {
  readonly done: string[] = [];
  #end: () => void = () => {};
  readonly output: AsyncIterable<OutputChunk> = this.#run(new Promise((resolve) => (this.#end = resolve)));

  async write(bytes: Uint8Array): Promise<void> {
    this.done.push(`write ${Buffer.from(bytes)}`);
  }
  endInput(): void {
    this.done.push("end of input");
    this.#end();
  }
  async resize({ columns, rows }: { columns: number; rows: number }): Promise<void> {
    this.done.push(`resize ${columns}x${rows}`);
  }
  async kill(unixSignal: string): Promise<void> {
    this.done.push(unixSignal);
    this.#end();
  }
  async exitCode(): Promise<number> {
    return 7;
  }

  async *#run(ended: Promise<void>): AsyncGenerator<OutputChunk> {
    yield { stream: "stdout", bytes: Buffer.from("hello") };
    await ended;
  }
}

function relayWith(command: EndlessCommand) {
  const unused = () => Promise.reject(new Error("unused"));
  const engine = {
    exec: async () => command,
    execDetached: async () => {},
    attach: unused,
    statFile: unused,
    readArchive: unused,
    writeArchive: unused,
  };
  const log = pino({ level: "silent" });
  const tasks = {
    containerOf: () => containerWith({ state: "running" }),
    statusOf: () => undefined,
    onAttached: () => {},
  };
  const relay = new ExecRelay({ engine, log, tasks });
  const heard: PushExecRequest[] = [];
  let streamEnded: () => void = () => {};
  const ended = new Promise<void>((resolve) => (streamEnded = resolve));
  /** The leader's side: sends these inputs, then waits for the command to end. */
  const start = (requestId: string, ...inputs: ExecInput["message"][]): void => {
    async function* pushExec(
      messages: AsyncIterable<PushExecRequest>,
      { signal }: { signal?: AbortSignal } = {},
    ): AsyncGenerator<PushExecResponse> {
      const iterator = messages[Symbol.asyncIterator]();
      const listening = (async () => {
        for (let next = await iterator.next(); !next.done; next = await iterator.next())
          heard.push(next.value);
      })();
      for (const message of inputs) yield { input: { message } };
      await Promise.race([listening, new Promise((resolve) => signal?.addEventListener("abort", resolve))]);
      streamEnded();
    }
    const command = ExecCommand.fromPartial({ command: ["sh"] });
    relay.start({ pushExec }, StartExec.fromPartial({ requestId, taskId: "t1", command }));
  };
  return { relay, heard, start, ended };
}

test("ExecRelay passes input, sizes and signals to the command in order, and reports its exit code", async () => {
  const command = new EndlessCommand();
  const { heard, start, ended } = relayWith(command);
  start(
    "r1",
    { $case: "stdin", value: Buffer.from("abc") },
    { $case: "resize", value: { columns: 80, rows: 24 } },
    { $case: "signal", value: "SIGNONSENSE" },
    { $case: "stdinEnd", value: {} },
  );
  await ended;
  expect(command.done).toEqual(["write abc", "resize 80x24", "end of input"]);
  expect(heard.map(({ output }) => output?.message?.$case)).toEqual([
    undefined,
    "started",
    "stdout",
    "exited",
  ]);
  expect(heard.at(-1)?.output?.message).toEqual({ $case: "exited", value: { exitCode: 7, error: "" } });
});

test("ExecRelay sends SIGHUP to a command whose request is stopped", async () => {
  const command = new EndlessCommand();
  const { relay, heard, start, ended } = relayWith(command);
  start("r1");
  while (heard.length < 3) await sleep(1);
  relay.stop("r1");
  await ended;
  while (!command.done.includes("SIGHUP")) await sleep(1);
  expect(command.done.slice(0, 2)).toEqual(["end of input", "SIGHUP"]);
});

test("ExecRelay refuses streams over its limit", async () => {
  const { relay, heard, start } = relayWith(new EndlessCommand());
  for (let i = 0; i < 136; i++) start(`r${i}`);
  while (heard.filter(({ error }) => error !== "").length < 8) await sleep(1);
  expect(heard.find(({ error }) => error !== "")?.error).toMatch(/already has 128 streams to its containers/);
  relay.stopAll();
});
