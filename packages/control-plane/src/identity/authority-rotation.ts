import { type Authorities, type Authority, Authority_State as AuthorityState } from "@berth/proto";
import type { Logger } from "pino";
import { planRotation, type RotationPlan, type ServerTrust } from "../core/authorities/rotation.js";
import type { Decision, Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import { Notifier } from "../runtime/notifier.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { RETIREMENT_MS } from "./certificate-issuer.js";

/**
 * Minimum time between the announcement of an authority and its first certificate. It exceeds the time between a
 * server's read of the authorities and its registration.
 */
const ANNOUNCE_MS = 5_000;

/** Interval at which the leader checks the servers while an authority is announced. */
const POLL_MS = 250;

/** Longest pause between two steps. Timers support at most 24 days, and the wall clock can be set. */
const MAX_PAUSE_MS = 60 * 60_000;

/** Pause after a failed step. */
const RETRY_MS = 1_000;

/**
 * Rate at which agents renew their certificates. A renewal takes the leader about 10 ms of CPU time, most of it for TLS
 * handshakes.
 */
const RENEWALS_PER_SECOND = 20;

export interface AuthorityRotationOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly serverTrust: () => readonly ServerTrust[];
  /** Sends a message to all connected agents. */
  readonly broadcast: (message: Authorities) => void;
}

/** Executes the steps of a CA rotation during one term of the leader. */
export class AuthorityRotation {
  readonly #options: AuthorityRotationOptions;
  readonly #changed = new Notifier();

  constructor(options: AuthorityRotationOptions) {
    this.#options = options;
  }

  /** The message for agents that connect. Undefined before the first authority is stored. */
  get message(): Authorities | undefined {
    const { authorities, nodes } = this.#options.state;
    const issuing = [...authorities.values()].find(isIssuing);
    if (issuing === undefined) return undefined;
    const spreadMs = Math.ceil((nodes.size / RENEWALS_PER_SECOND) * 1_000);
    return { issuing: issuing.fingerprint, trusted: [...authorities.keys()], spreadMs };
  }

  /** Executes steps, and notifies agents of changes, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { state, runtime, logger, broadcast } = this.#options;
    const unsubscribe = state.onChange(({ areAuthoritiesChanged }) => {
      if (!areAuthoritiesChanged) return;
      this.#changed.notifyAll();
      if (this.message !== undefined) broadcast(this.message);
    });
    try {
      while (!signal.aborted) {
        try {
          const { changed, removed } = this.#plan();
          if (changed.length > 0 || removed.length > 0) await this.#execute(signal);
          await this.#pause(signal);
        } catch (error) {
          if (signal.aborted) break;
          logger.warn({ err: error }, "failed to continue the CA rotation");
          await sleep(runtime.clock, RETRY_MS, signal);
        }
      }
    } finally {
      unsubscribe();
    }
  }

  #plan(): RotationPlan {
    const { state, runtime, serverTrust } = this.#options;
    const timing = { announceMs: ANNOUNCE_MS, retirementMs: RETIREMENT_MS };
    return planRotation(state.authorities.values(), serverTrust(), timing, runtime.wallClockMs());
  }

  async #execute(signal: AbortSignal): Promise<void> {
    const { writer, logger } = this.#options;
    const { changed, removed } = await writer.submit(() => this.#decide(), signal);
    for (const fingerprint of removed) logger.info({ fingerprint }, "retired CA removed");
    const issuing = changed.find(isIssuing);
    if (issuing !== undefined) {
      logger.info({ fingerprint: issuing.fingerprint }, "the new CA issues certificates");
    }
  }

  #decide(): Decision<RotationPlan> {
    const plan = this.#plan();
    const changes: readonly Change[] = [
      ...plan.changed.map((authority): Change => ({ kind: "put-authority", authority })),
      ...plan.removed.map((fingerprint): Change => ({ kind: "delete-authority", fingerprint })),
    ];
    return { changes, result: plan };
  }

  /** Waits until an authority changes, the plan is due, or the poll interval of an announcement has passed. */
  async #pause(signal: AbortSignal): Promise<void> {
    const { state, runtime } = this.#options;
    const isAnnounced = [...state.authorities.values()].some(
      (candidate) => candidate.state === AuthorityState.ANNOUNCED,
    );
    const { requeueAtMs = Number.POSITIVE_INFINITY } = this.#plan();
    const untilMs = Math.min(requeueAtMs - runtime.wallClockMs(), isAnnounced ? POLL_MS : MAX_PAUSE_MS);
    const cancel = runtime.clock.after(Math.max(untilMs, 0), () => this.#changed.notifyAll());
    try {
      await this.#changed.wait(signal);
    } finally {
      cancel();
    }
  }
}

function isIssuing({ state }: Authority): boolean {
  return state === AuthorityState.ISSUING;
}
