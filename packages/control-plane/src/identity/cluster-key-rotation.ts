import { assertNever, BerthError, type ClusterKeyState, ClusterKeyState_Phase as Phase } from "@berth/proto";
import type { Logger } from "pino";
import {
  abandonedRotation,
  finishedRotation,
  type KeyRotationStep,
  planKeyRotation,
  type SealingProgress,
  type ServerKeys,
  sealingKeyId,
  sealingState,
} from "../core/cluster-key/rotation.js";
import type { Decision, Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import { Notifier } from "../runtime/notifier.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { CLUSTER_KEY_NAME } from "../state/record-kinds.js";
import type { ClusterKey } from "./cluster-key.js";
import { type PassLimits, RecordResealer } from "./sealed-records.js";

/** Interval at which the leader checks the servers while they get the next key. */
const POLL_MS = 250;

/** Pause after a failed step. */
const RETRY_MS = 1_000;

export interface ClusterKeyRotationOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly clusterKey: ClusterKey;
  readonly serverKeys: () => readonly ServerKeys[];
  readonly limits?: PassLimits;
}

/** Executes the steps of a rotation of the cluster key during one term of the leader. */
export class ClusterKeyRotation {
  readonly #options: ClusterKeyRotationOptions;
  readonly #changed = new Notifier();
  #resealer: RecordResealer | undefined;

  /** @throws BerthError BERTH_IDENTITY_INVALID if this server does not have the key that encrypts records */
  constructor(options: ClusterKeyRotationOptions) {
    this.#options = options;
    const { state, clusterKey } = options;
    const id = sealingKeyId(state.clusterKey);
    if (id !== undefined && clusterKey.find(id) === undefined) throw missingKeyError(id);
    clusterKey.useForSealing(id);
    // Must precede any later decision: once this step is stored, everything is encrypted with the next key.
    state.onChange(({ isClusterKeyChanged }) => {
      if (!isClusterKeyChanged) return;
      clusterKey.useForSealing(sealingKeyId(state.clusterKey));
      this.#changed.notifyAll();
    });
  }

  /** The number of records that are encrypted with the next key. */
  get progress(): SealingProgress {
    const { state, clusterKey } = this.#options;
    return (this.#resealer ?? new RecordResealer(clusterKey)).progress(state);
  }

  /** Executes steps until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { runtime, logger } = this.#options;
    while (!signal.aborted) {
      try {
        const step = this.#plan();
        if (step.kind === "none" || step.kind === "wait") {
          await this.#pause(step, signal);
        } else {
          await this.#execute(step, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error }, "failed to continue the rotation of the cluster key");
        await sleep(runtime.clock, RETRY_MS, signal);
      }
    }
  }

  #plan(): KeyRotationStep {
    const { state, runtime, serverKeys } = this.#options;
    return planKeyRotation(state.clusterKey, serverKeys(), runtime.wallClockMs());
  }

  async #execute(step: KeyRotationStep, signal: AbortSignal): Promise<void> {
    const { writer, logger } = this.#options;
    const after = await writer.submit((state) => this.#decide(step, state), signal);
    if (after === undefined) return;
    const { currentId, nextId } = after;
    if (after.phase === Phase.SEALING) {
      logger.info({ key: nextId }, "encrypting with the next cluster key");
    } else if (step.kind === "abandon") {
      logger.warn("rotation of the cluster key abandoned: no server has the next key");
    } else {
      logger.info({ key: currentId }, "cluster key rotated");
    }
  }

  /** Returns the changes of a step, and the new state of the key if the step changes it. */
  #decide(step: KeyRotationStep, state: ClusterState): Decision<ClusterKeyState | undefined> {
    const { clusterKey } = state;
    const nowMs = this.#options.runtime.wallClockMs();
    // The state has changed since the plan.
    if (clusterKey === undefined || this.#plan().kind !== step.kind) {
      return { changes: [], result: undefined };
    }
    switch (step.kind) {
      case "seal":
        return storeState(sealingState(clusterKey, nowMs));
      case "abandon":
        return storeState(abandonedRotation(clusterKey, nowMs));
      case "seal-again": {
        const { changes, isDone } = this.#currentResealer().next(state);
        return isDone ? storeState(finishedRotation(clusterKey, nowMs)) : { changes, result: undefined };
      }
      case "none":
      case "wait":
        return { changes: [], result: undefined };
      default:
        return assertNever(step);
    }
  }

  /** @throws BerthError BERTH_IDENTITY_INVALID if this server does not have the key that encrypts records */
  #currentResealer(): RecordResealer {
    const { clusterKey, state, limits } = this.#options;
    const id = sealingKeyId(state.clusterKey);
    if (id === undefined || clusterKey.sealing.id !== id) throw missingKeyError(id);
    if (this.#resealer?.keyId !== id) this.#resealer = new RecordResealer(clusterKey, limits);
    return this.#resealer;
  }

  /** Waits until the state of the key changes, or for the poll interval while servers get the next key. */
  async #pause(step: KeyRotationStep, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.runtime;
    const cancel = step.kind === "wait" ? clock.after(POLL_MS, () => this.#changed.notifyAll()) : () => {};
    await this.#changed.wait(signal);
    cancel();
  }
}

function storeState(clusterKey: ClusterKeyState): Decision<ClusterKeyState> {
  const change: Change = { kind: "put-clusterKey", name: CLUSTER_KEY_NAME, clusterKey };
  return { changes: [change], result: clusterKey };
}

function missingKeyError(id: string | undefined): BerthError {
  const key = id === undefined ? "cluster key of the records" : `cluster key ${id.slice(0, 12)}`;
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `this server cannot lead: it does not have the ${key} yet; start a server that has it`,
  });
}
