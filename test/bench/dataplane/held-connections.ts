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
/** Node.js collects the garbage of closed connections after a while. */
const SETTLE_MS = 2_000;

export interface HeldSize {
  readonly idle: number;
  readonly active: number;
  /** At least 2. */
  readonly rounds: number;
}

export interface HeldConnections {
  /** As many as asked for, or as the limit of open files allows. */
  readonly count: number;
  /** Memory of one connection in each round: while all are idle, and while some are active. */
  readonly idleKb: readonly number[];
  readonly activeKb: readonly number[];
  /** Growth of the resident memory from the earlier to the later rounds. Minima are compared, since garbage varies. */
  readonly leakMb: number;
  /** Growth of the number of open descriptors from before the first round to after the last. */
  readonly leakedFiles: number;
}

/** Measures the cost of open connections through the user-space proxy, and whether all of it is released. */
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

/** The ingress process inherits this limit. */
function ownFileLimit(): number {
  return Number(
    /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 1_024,
  );
}
