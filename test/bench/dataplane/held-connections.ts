import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { computeFdBudget } from "../../../packages/agent/src/dataplane/listeners/fd-limits.js";
import { Cleanup, deadline } from "../../integration/ingress-harness.js";
import {
  apply,
  publishedListener,
  remoteEndpoint,
  startKernelIngress,
} from "../../integration/kernel/kernel-ingress.js";
import { ADDRESS, type TestNetwork } from "../../integration/kernel/test-network.js";
import { residentBytes } from "../process-usage.js";

const TALK_MS = 3_000;
const PORT = 8_081;
const BACKEND_PORT = 8_011;
/** Time for Node.js to collect the garbage of closed connections. */
const SETTLE_MS = 2_000;

export interface HeldSize {
  readonly idle: number;
  readonly active: number;
  /** At least 2. */
  readonly rounds: number;
}

export interface HeldConnections {
  /** As many as requested, or as many as the open file limit allows. */
  readonly count: number;
  /** Memory per connection in each round: while all connections are idle, and while some are active. */
  readonly idleKb: readonly number[];
  readonly activeKb: readonly number[];
  /** Growth of resident memory from the earlier to the later rounds. Compares minima, because garbage varies. */
  readonly leakMb: number;
  /** Growth of the number of open file descriptors from before the first round to after the last. */
  readonly leakedFiles: number;
}

/** Measures the memory and file descriptors that open connections through the user-space proxy use, and any leaks. */
export async function measureHeld(
  network: TestNetwork,
  { idle, active: talkers, rounds }: HeldSize,
): Promise<HeldConnections> {
  const cleanup = new Cleanup();
  try {
    const count = Math.min(idle + talkers, computeFdBudget(ownFileLimit(), 1).connections);
    const talking = Math.round((count * talkers) / (idle + talkers));
    const ingress = await startKernelIngress(network, cleanup, { mode: "userspace" });
    await network.startServer("b", BACKEND_PORT);
    cleanup.add(() => network.closeServer("b", BACKEND_PORT));
    await apply(ingress, publishedListener(PORT, [remoteEndpoint("b", BACKEND_PORT)]));
    const active = async (): Promise<number> =>
      (await ingress.stats(deadline())).listeners[0]?.active ?? Number.NaN;
    const resident = (): number => residentBytes(ingress.process);
    const files = (): number => readdirSync(`/proc/${ingress.process.pid}/fd`).length;
    await active();
    const [residentBefore, filesBefore] = [resident(), files()];
    const [idleKb, activeKb, residentAfter]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < rounds; round += 1) {
      await network.call("client", "hold", { host: ADDRESS.a, port: PORT, count });
      if ((await active()) !== count) throw new Error(`${await active()} of ${count} connections are served`);
      idleKb.push((resident() - residentBefore) / count / 1_024);
      await network.call("client", "talk", { count: talking, forMs: TALK_MS });
      activeKb.push((resident() - residentBefore) / count / 1_024);
      await network.call("client", "letGo");
      while ((await active()) !== 0) await sleep(20);
      await sleep(SETTLE_MS);
      residentAfter.push(resident());
    }
    const least = (from: number, to: number): number => Math.min(...residentAfter.slice(from, to));
    const leakMb = (least(rounds / 2, rounds) - least(0, rounds / 2)) / 1e6;
    return { count, idleKb, activeKb, leakMb, leakedFiles: files() - filesBefore };
  } finally {
    await cleanup.run();
  }
}

/** Returns this process's limit of open files, which the ingress process inherits. */
function ownFileLimit(): number {
  return Number(
    /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 1_024,
  );
}
