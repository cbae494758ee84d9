import { isResourceError } from "../../runtime/resource-error.js";
import { Admission } from "./admission.js";
import type { DeadlineTimer } from "./deadline-timer.js";
import { FdExhaustion } from "./fd-exhaustion.js";
import { computeFdBudget, openFileLimit } from "./fd-limits.js";
import { Quota } from "./quota.js";

/**
 * Maximum share of connections whose clients wait for an endpoint. Services without endpoints must not use up the
 * connections of other services.
 */
const MAX_HELD_SHARE = 0.25;

export interface ListenerLimitsOptions {
  readonly deadlines: DeadlineTimer;
  readonly now: () => number;
  /** Returns the number of open listeners, each of which uses one descriptor. */
  readonly countListeners: () => number;
  /** Called at most once a minute while connections wait for file descriptors. */
  readonly onFdProblem: (problem: string) => void;
}

/**
 * The limits that all listeners of the ingress process share, derived from the process's open-file limit. A connection is
 * "waiting" until it gets the file descriptors for its relay, then "served". A served client that has no endpoint yet is
 * "held".
 */
export class ListenerLimits {
  readonly admission: Admission;
  readonly udpFlows: Quota;
  /** Clients that wait for an endpoint. They also count as served connections. */
  readonly heldClients: Quota;
  readonly #fdExhaustion: FdExhaustion;
  #acceptErrors = 0;

  constructor({ deadlines, now, countListeners, onFdProblem }: ListenerLimitsOptions) {
    const fdLimit = openFileLimit();
    const budget = () => computeFdBudget(fdLimit, countListeners());
    this.#fdExhaustion = new FdExhaustion(now, onFdProblem);
    this.udpFlows = new Quota(() => budget().flows);
    this.heldClients = new Quota(() => budget().connections * MAX_HELD_SHARE);
    this.admission = new Admission({
      served: new Quota(() => budget().connections),
      waiting: new Quota(() => budget().waiting),
      deadlines,
      now,
      onLimitReached: () => this.#fdExhaustion.recordLimitReached(budget().connections, fdLimit),
    });
  }

  /** Number of open TCP connections and UDP flows. */
  get active(): number {
    return this.admission.used + this.udpFlows.used;
  }

  /** Number of connections that could not be accepted. */
  get acceptErrors(): number {
    return this.#acceptErrors;
  }

  /** A message for users while connections wait for file descriptors. Undefined otherwise. */
  get fdProblem(): string | undefined {
    return this.#fdExhaustion.problem;
  }

  /**
   * Records that a connection could not be accepted.
   *
   * @param code error code of the failed accept, such as EMFILE
   */
  recordAcceptError(code: string): void {
    this.#acceptErrors += 1;
    if (isResourceError(code)) this.#fdExhaustion.recordAcceptFailure(code);
  }
}
