import { fork } from "node:child_process";
import type { SeedAnswer } from "./worker.js";

/** Maximum number of histories per process, so that a memory leak does not end a long run. */
const HISTORIES_PER_PROCESS = 1_000;

export interface PoolOptions {
  /** The worker's file. */
  readonly file: string;
  readonly jobs: number;
  readonly from: number;
  readonly count: number;
  /** Called after each history. Returns true to stop. */
  readonly onAnswer: (answer: SeedAnswer) => boolean;
}

/** Distributes histories over processes. Rejects when a process exits unexpectedly. */
export async function runPool(options: PoolOptions): Promise<void> {
  const end = options.from + options.count;
  let next = options.from;
  let isOver = false;
  const isDone = (): boolean => isOver || next >= end;
  const liveInOneProcess = (): Promise<void> => {
    return new Promise((resolve, reject) => {
      const child = fork(options.file, [], {
        execArgv: [],
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      });
      let seed = next;
      let left = HISTORIES_PER_PROCESS;
      const hand = (): void => {
        if (isDone() || left === 0) {
          child.disconnect();
          return;
        }
        left -= 1;
        seed = next;
        next += 1;
        child.send({ seed });
      };
      child.on("message", (message: SeedAnswer | "ready") => {
        if (message !== "ready" && options.onAnswer(message)) isOver = true;
        hand();
      });
      child.on("exit", (code, killedBy) => {
        if (code === 0) resolve();
        else reject(new Error(`the process that simulated seed ${seed} exited with ${killedBy ?? code}`));
      });
    });
  };
  const work = async (): Promise<void> => {
    while (!isDone()) await liveInOneProcess();
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
}
