import { fork } from "node:child_process";
import type { SeedAnswer } from "./worker.js";

export interface PoolOptions {
  /** The worker's program. */
  readonly file: string;
  readonly jobs: number;
  readonly from: number;
  readonly count: number;
  /** Called for each history; true: no more are wanted. */
  readonly onAnswer: (answer: SeedAnswer) => boolean;
}

/** Shares histories among processes, each one at a time. Rejects when a process dies over one. */
export async function runPool(options: PoolOptions): Promise<void> {
  const end = options.from + options.count;
  let next = options.from;
  let isOver = false;
  const work = (): Promise<void> => {
    return new Promise((resolve, reject) => {
      const child = fork(options.file, [], {
        execArgv: [],
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      });
      let seed = next;
      const hand = (): void => {
        if (isOver || next >= end) {
          child.disconnect();
          return;
        }
        seed = next;
        next += 1;
        child.send({ seed });
      };
      child.on("message", (message: SeedAnswer | "ready") => {
        if (message !== "ready" && options.onAnswer(message)) isOver = true;
        hand();
      });
      child.on("exit", (code) => {
        if (code === 0 || code === null) resolve();
        else reject(new Error(`the process that lived through seed ${seed} ended with code ${code}`));
      });
    });
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
}
