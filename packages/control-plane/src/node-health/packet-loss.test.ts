import { NodeState, PROBE_TRIES, PROBE_TRY_MS, type ProbeRequest } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import { describe, expect, it, onTestFinished } from "vitest";
import type { NodeHealthMonitor } from "./node-health-monitor.js";
import { type NodeHealthRig, startNodeHealthRig } from "./test-node-health-rig.js";

const NODES = ["a", "b", "c", "d", "e"];
const HEARTBEAT_MS = 250;
const MINUTE_MS = 60_000;
/** TCP's first repetition in a LAN; each further one takes twice as long. */
const RETRANSMIT_MS = 200;
const MAX_RETRANSMIT_MS = 120_000;

/** A cluster in which a share of all packets is lost, in each direction, by a seeded dice. */
class LossyCluster {
  readonly suspicions: string[] = [];
  /** Nodes whose packets to the server, and the server's to them, are all lost. */
  readonly cutOff = new Set<string>();
  readonly dead = new Set<string>();
  readonly #rig: NodeHealthRig;
  readonly #loss: number;
  readonly #monitor: NodeHealthMonitor;
  readonly #lastArrivalMs = new Map<string, number>();
  #dice: number;

  private constructor(rig: NodeHealthRig, loss: number, seed: number) {
    this.#rig = rig;
    this.#loss = loss;
    this.#dice = seed;
    const server = (address: string): boolean => !this.cutOff.has(address);
    this.#monitor = rig.lead({
      observer: { onLateHeartbeat: () => {}, onSuspect: () => {} },
      probe: this.#probe(server),
      sendProbeRequest: (peerId, request) => this.#ask(peerId, request),
      onSuspicion: (nodeId) => this.suspicions.push(nodeId),
      onHeartbeatInterval: () => {},
    });
  }

  static async start(loss: number, seed = 1): Promise<LossyCluster> {
    const rig = await startNodeHealthRig(NODES);
    onTestFinished(() => rig.close());
    return new LossyCluster(rig, loss, seed);
  }

  get down(): readonly string[] {
    return NODES.filter((id) => this.#rig.state.nodes.get(id)?.state === NodeState.DOWN);
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += HEARTBEAT_MS) {
      for (const id of NODES) {
        if (this.dead.has(id) || this.cutOff.has(id)) continue;
        this.#deliver(id, () => this.dead.has(id) || this.#monitor.recordHeartbeat(id, 0));
      }
      await this.#rig.clock.advance(HEARTBEAT_MS);
    }
  }

  #isLost(): boolean {
    this.#dice = (Math.imul(this.#dice, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#dice / 2 ** 32 < this.#loss;
  }

  /** Over the connection of a node's agent, which keeps the order. */
  #deliver(id: string, run: () => unknown): void {
    const { clock } = this.#rig;
    let delayMs = 1;
    for (let retryMs = RETRANSMIT_MS; this.#isLost(); retryMs = Math.min(2 * retryMs, MAX_RETRANSMIT_MS)) {
      delayMs += retryMs;
    }
    const atMs = Math.max(clock.nowMs() + delayMs, this.#lastArrivalMs.get(id) ?? 0);
    this.#lastArrivalMs.set(id, atMs);
    clock.after(atMs - clock.nowMs(), run);
  }

  /** As `probeHost`: one packet there and one back for each try. */
  #probe(reaches: (address: string) => boolean): Probe {
    return ({ address, tries, tryMs }, signal) =>
      new Promise((resolve) => {
        const isAnswered = (): boolean =>
          !this.#isLost() && !this.#isLost() && reaches(address) && !this.dead.has(address);
        const attempts = Array.from({ length: tries }, isAnswered);
        const first = attempts.indexOf(true);
        const cancel = this.#rig.clock.after(first < 0 ? tries * tryMs : first * tryMs + 1, () =>
          resolve(first >= 0),
        );
        signal.addEventListener("abort", () => {
          cancel();
          resolve(false);
        });
      });
  }

  #ask(peerId: string, { requestId, address, port }: ProbeRequest): boolean {
    if (this.dead.has(peerId) || this.cutOff.has(peerId)) return true;
    const probe = this.#probe(() => true);
    const target = { address, port, tries: PROBE_TRIES, tryMs: PROBE_TRY_MS };
    this.#deliver(peerId, () => {
      void probe(target, new AbortController().signal).then((answered) =>
        this.#deliver(peerId, () => this.#monitor.recordProbeResult(peerId, { requestId, answered })),
      );
    });
    return true;
  }
}

describe("NodeHealthMonitor with packet loss", () => {
  it.each([0.01, 0.05])("suspects no node for minutes at a loss of %d", async (loss) => {
    const cluster = await LossyCluster.start(loss);
    await cluster.pass(5 * MINUTE_MS);
    expect(cluster.suspicions).toEqual([]);
  });

  it.each([0.1, 0.19])("declares no node down for minutes at a loss of %d", async (loss) => {
    const cluster = await LossyCluster.start(loss);
    await cluster.pass(5 * MINUTE_MS);
    expect(cluster.down).toEqual([]);
  });

  it.each([
    { loss: 0.05, suspectMs: 500, downMs: 1_500 },
    // A late beat may just have had the host asked after, and what has answered is asked again after a second.
    { loss: 0.2, suspectMs: 1_500, downMs: 3_000 },
  ])("detects a dead host in time at a loss of $loss", async ({ loss, suspectMs, downMs }) => {
    for (let seed = 1; seed <= 10; seed += 1) {
      const cluster = await LossyCluster.start(loss, seed);
      await cluster.pass(2_000);
      cluster.dead.add("c");
      await cluster.pass(suspectMs);
      expect([seed, cluster.suspicions.at(-1)]).toEqual([seed, "c"]);
      await cluster.pass(downMs - suspectMs);
      expect([seed, cluster.down]).toEqual([seed, ["c"]]);
    }
  });

  it("does not declare a node down that only the leader cannot reach", async () => {
    const cluster = await LossyCluster.start(0.05);
    await cluster.pass(2_000);
    cluster.cutOff.add("b");
    await cluster.pass(MINUTE_MS / 2);
    expect(cluster.down).toEqual([]);
  });
});
