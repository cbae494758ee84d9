import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fdBudget } from "../../../packages/agent/src/dataplane/listeners/fd-limits.js";
import { Cleanup, deadline } from "../../integration/ingress-harness.js";
import {
  apply,
  publishedListener,
  remoteEndpoint,
  startKernelIngress,
} from "../../integration/kernel/kernel-ingress.js";
import { ADDRESS, type TestNetwork } from "../../integration/kernel/test-network.js";
import { residentBytes } from "./resident.js";

const IDLE = 10_000;
const ACTIVE = 1_000;
const TALK_MS = 3_000;
const ROUNDS = 4;
const PORT = 8_081;
const BACKEND_PORT = 8_011;
/** Garbage of the connections that have gone is collected when there is new work, or after a while. */
const SETTLE_MS = 2_000;

export interface HeldConnections {
  /** As many as the limit of open files allows, 11,000 at most. */
  readonly count: number;
  /** What one costs, in each round: idle, and while some of them talk. */
  readonly idleKb: readonly number[];
  readonly activeKb: readonly number[];
  /** How much more is resident after the later rounds than after the first ones, at the least: garbage comes and goes. */
  readonly leakMb: number;
  /** How many more descriptors are open after the last round than before the first one. */
  readonly leakedFiles: number;
}

/** Connections through the process that stay, a part of which talks: what they cost, and whether all of it comes back. */
export async function measureHeld(network: TestNetwork): Promise<HeldConnections> {
  const cleanup = new Cleanup();
  try {
    const count = Math.min(IDLE + ACTIVE, fdBudget(ownFileLimit(), 1).connections);
    const talking = Math.round((count * ACTIVE) / (IDLE + ACTIVE));
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
    for (let round = 0; round < ROUNDS; round += 1) {
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
    const leakMb = (least(ROUNDS / 2, ROUNDS) - least(0, ROUNDS / 2)) / 1e6;
    return { count, idleKb, activeKb, leakMb, leakedFiles: files() - filesBefore };
  } finally {
    await cleanup.run();
  }
}

/** The ingress process gets the same as this one. */
function ownFileLimit(): number {
  return Number(
    /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 1_024,
  );
}
