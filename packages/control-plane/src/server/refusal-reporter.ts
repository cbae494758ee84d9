import { PeerServiceService } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { RefusalQueue } from "../api/audit/refusal-queue.js";
import { type AuditedCall, toAuditText } from "../core/audit/audit-record.js";
import type { Clock } from "../runtime/clock.js";
import type { LeadershipState } from "./leadership-state.js";

/** Timeout of a report. The leader responds within milliseconds. */
const REPORT_TIMEOUT_MS = 5_000;

export interface RefusalReporterOptions {
  readonly leadership: LeadershipState;
  readonly clock: Clock;
  readonly transport: RpcTransport;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Records the calls that this server refuses. Only the leader writes the audit log, so other servers send it their
 * refused calls, in groups with the limits of the audit log: repeated calls cost the leader a few requests a minute.
 */
export class RefusalReporter {
  readonly #options: RefusalReporterOptions;
  readonly #unsent: RefusalQueue;

  constructor(options: RefusalReporterOptions) {
    this.#options = options;
    const { clock, signal } = options;
    this.#unsent = new RefusalQueue({ clock, write: (calls) => this.#send(calls), signal });
  }

  record(call: AuditedCall): void {
    const { leader } = this.#options.leadership;
    if (leader === undefined) {
      this.#unsent.add(call);
    } else {
      leader.audit.recordRefused(call);
    }
  }

  /** Sends calls to the leader. Calls that it does not get wait for the next interval of their group. */
  async #send(calls: readonly AuditedCall[]): Promise<void> {
    const { leadership, transport, logger, signal } = this.#options;
    const { route } = leadership;
    if (route?.kind !== "remote") {
      for (const call of calls) this.record(call);
      return;
    }
    const connection = transport.connect(PeerServiceService, { address: route.address });
    try {
      await Promise.all(
        calls.map(async (call) => {
          try {
            await connection.calls.recordRefusedCalls(refusedCallsOf(call), {
              signal,
              timeoutMs: REPORT_TIMEOUT_MS,
            });
          } catch (error) {
            logger.debug({ err: error, leader: route.address }, "the leader did not record refused calls");
            this.#unsent.add(call);
          }
        }),
      );
    } finally {
      connection.close();
    }
  }
}

/** Returns a message that is smaller than the limit of the service, whatever a caller has sent. */
function refusedCallsOf({ method, caller, client, errorCode, count }: AuditedCall) {
  return {
    method: toAuditText(method),
    caller: toAuditText(caller),
    client: toAuditText(client),
    errorCode: toAuditText(errorCode),
    count,
  };
}
