import { BerthError, type DnsConfig } from "@berth/proto";
import type { Logger } from "pino";
import type { ApplyResult, IngressStats } from "../dataplane/table/ingress-table.js";
import type { HostCondition } from "../node/node-description.js";
import { raceSignal } from "../runtime/race-signal.js";
import type { IngressClient } from "./ingress-client.js";
import type { ListenerTable } from "./ingress-table.js";
import { watchIngress } from "./ingress-watch.js";
import { retryUntilDone } from "./retry-until-done.js";

/** A client of the ingress process. The agent never stops the process. */
export type OpenedIngress = Omit<IngressClient, "stop">;

/** Finds the ingress process of this host, or starts it. */
export type OpenIngress = (log: Logger, signal: AbortSignal) => Promise<OpenedIngress>;

export interface IngressConnectionOptions {
  readonly openIngress: OpenIngress;
  /** Receives the problems and the data path of the ingress process. */
  readonly condition: Pick<HostCondition, "setIngressProblems" | "updateDataPlane">;
  /** Called once, when the ingress process has been found or started. */
  readonly onOpened: (ingress: OpenedIngress) => void;
  readonly log: Logger;
}

/**
 * Opens the ingress process in the background. Calls that change its tables wait until it is open. `run` retries failed
 * attempts, so nothing else on the node waits for the process.
 */
export class IngressConnection {
  readonly #options: IngressConnectionOptions;
  #resolveOpened: (ingress: OpenedIngress) => void = () => {};
  readonly #opened = new Promise<OpenedIngress>((resolve) => {
    this.#resolveOpened = resolve;
  });
  #ingress: OpenedIngress | undefined;

  constructor(options: IngressConnectionOptions) {
    this.#options = options;
  }

  /** Replaces the table of published ports. */
  async applyTable(table: ListenerTable, signal: AbortSignal): Promise<ApplyResult> {
    const ingress = await raceSignal(this.#opened, signal);
    return ingress.apply(table, signal);
  }

  /** Replaces the DNS configuration. */
  async updateDns(config: DnsConfig, signal: AbortSignal): Promise<void> {
    const ingress = await raceSignal(this.#opened, signal);
    await ingress.updateDns(config, signal);
  }

  /** Replaces the set of suspect nodes. A process that is restarted later receives the same set. */
  async setSuspectNodes(nodeIds: readonly string[], signal: AbortSignal): Promise<void> {
    const ingress = await raceSignal(this.#opened, signal);
    await ingress.setSuspectNodes(nodeIds, signal);
  }

  /** Reads the counters of the ingress process. Rejects before the process is open. */
  async stats(signal: AbortSignal): Promise<IngressStats> {
    if (this.#ingress !== undefined) return this.#ingress.stats(signal);
    throw new BerthError({ code: "BERTH_INGRESS_FAILED", message: "the ingress process is not running yet" });
  }

  /** Opens the ingress process and then watches its status until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { condition, onOpened } = this.#options;
    const ingress = await this.#open(signal);
    if (ingress === undefined) return;
    this.#ingress = ingress;
    this.#resolveOpened(ingress);
    onOpened(ingress);
    await watchIngress({
      status: (inner) => ingress.status(inner),
      onProblems: (problems) => condition.setIngressProblems(problems),
      onDataPath: ({ kernel, reason }) => condition.updateDataPlane({ kernel, kernelReason: reason }),
      signal,
    });
  }

  /** Disconnects from the ingress process, which continues to serve its tables. */
  close(): void {
    this.#ingress?.close();
  }

  #open(signal: AbortSignal): Promise<OpenedIngress | undefined> {
    const { openIngress, condition, log } = this.#options;
    const ingressLog = log.child({ part: "ingress" });
    return retryUntilDone(() => openIngress(ingressLog, signal), {
      onFailure: (reason) => {
        log.error({ reason }, "cannot start ingress process; retrying");
        condition.setIngressProblems([`published ports do not work on this host: ${reason}`]);
      },
      signal,
    });
  }
}
