import type { EtcdAuthorities } from "@berth/proto";
import type { Logger } from "pino";
import {
  type EtcdRotationStep,
  type EtcdServer,
  planEtcdRotation,
} from "../core/authorities/etcd-rotation.js";
import type { Decision, Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import { Notifier } from "../runtime/notifier.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import { ETCD_AUTHORITIES_NAME } from "../state/record-kinds.js";

/** Interval at which the leader checks the servers during a rotation. */
const POLL_MS = 250;

/** Pause after a failed step. */
const RETRY_MS = 1_000;

export interface EtcdAuthorityRotationOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** ID of this server. */
  readonly serverId: string;
  readonly etcdServers: () => readonly EtcdServer[];
  /** Returns whether all members of etcd respond. */
  readonly areMembersRunning: (signal: AbortSignal) => Promise<boolean>;
}

/** Executes the steps of a rotation of etcd's authority during one term of the leader. */
export class EtcdAuthorityRotation {
  readonly #options: EtcdAuthorityRotationOptions;
  readonly #changed = new Notifier();

  constructor(options: EtcdAuthorityRotationOptions) {
    this.#options = options;
  }

  /** Executes steps until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { state, runtime, logger } = this.#options;
    const unsubscribe = state.onChange(({ areEtcdAuthoritiesChanged }) => {
      if (areEtcdAuthoritiesChanged) this.#changed.notifyAll();
    });
    while (!signal.aborted) {
      try {
        const step = this.#plan();
        if (step.kind === "none") {
          await this.#changed.wait(signal);
        } else if (step.kind === "wait" || !(await this.#execute(step, signal))) {
          await sleep(runtime.clock, POLL_MS, signal);
        }
      } catch (error) {
        if (signal.aborted) break;
        logger.warn({ err: error }, "failed to continue the rotation of etcd's CA");
        await sleep(runtime.clock, RETRY_MS, signal);
      }
    }
    unsubscribe();
  }

  #plan(): EtcdRotationStep {
    const { state, runtime, serverId, etcdServers } = this.#options;
    return planEtcdRotation(state.etcdAuthorities, etcdServers(), serverId, runtime.wallClockMs());
  }

  /** Returns whether the step was executed or is no longer due. */
  async #execute(step: EtcdRotationStep, signal: AbortSignal): Promise<boolean> {
    const { writer, logger, areMembersRunning } = this.#options;
    // etcd needs a quorum while one member restarts.
    if (step.kind === "restart" && !(await areMembersRunning(signal))) return false;
    const record = await writer.submit(() => this.#decide(step.kind), signal);
    if (record === undefined) return true;
    const authorities = record.authorities.map(({ fingerprint, state }) => ({ fingerprint, state }));
    if (step.kind === "restart") {
      logger.info({ server: record.restartingServer }, "etcd of a server restarts");
    } else {
      logger.info({ authorities }, "continued the rotation of etcd's CA");
    }
    return true;
  }

  /** Stores the step unless the state has changed since its plan. */
  #decide(kind: EtcdRotationStep["kind"]): Decision<EtcdAuthorities | undefined> {
    const step = this.#plan();
    if (step.kind !== kind || step.kind === "none" || step.kind === "wait") {
      return { changes: [], result: undefined };
    }
    return {
      changes: [{ kind: "put-etcdAuthorities", name: ETCD_AUTHORITIES_NAME, etcdAuthorities: step.record }],
      result: step.record,
    };
  }
}
