import { assertNever, isBerthError, LEADER_LEASE_MS } from "@berth/proto";
import type { Logger } from "pino";
import { sleep } from "../runtime/clock.js";
import { campaign, type ElectionEvent, type LeaderRecord } from "../store/election.js";
import { LEADER_KEY } from "../store/keys.js";
import { runTerm } from "./leader.js";
import type { LeaderContact } from "./leader-contact.js";
import type { LeaderOptions } from "./leader-options.js";
import { parseServerAddress } from "./server-registry.js";

/** Pause after a failed term, so that a persistent failure does not cause continuous elections. */
const FAILED_TERM_PAUSE_MS = 1_000;

export interface CandidateOptions extends LeaderOptions {
  /** Value of the leader key while this server is the leader. */
  readonly value: string;
  /** Probes the leader. Undefined if a dead leader is replaced only after its lease has expired. */
  readonly contact: LeaderContact | undefined;
}

/**
 * Campaigns for the leadership and runs each term that this server wins, until `signal` is aborted.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED if a newer release has raised the schema
 */
export async function runCandidate(options: CandidateOptions, signal: AbortSignal): Promise<void> {
  const { store, runtime, logger, contact, value } = options;
  const candidacy = {
    store,
    clock: runtime.clock,
    key: LEADER_KEY,
    value,
    ttlSeconds: LEADER_LEASE_MS / 1_000,
    ...(contact && { untilDead: createFailureDetector(contact, value) }),
    onEvent: createElectionLogger(logger),
  };
  for await (const term of campaign(candidacy, signal)) {
    const termLogger = logger.child({ epoch: String(term.epoch) });
    try {
      await runTerm(term, { ...options, logger: termLogger }, signal);
    } catch (error) {
      if (isBerthError(error, "BERTH_SCHEMA_UNSUPPORTED")) throw error;
      termLogger.error({ err: error }, "leader failed; resigning");
      await sleep(runtime.clock, FAILED_TERM_PAUSE_MS, signal);
    }
  }
}

/** Returns a function that waits until the leader is dead, unless it is an earlier run of this server. */
function createFailureDetector(contact: LeaderContact, ownValue: string): LeaderContact["untilDead"] {
  return async (leader: LeaderRecord, signal: AbortSignal) => {
    // Only one process can listen on an address, so a leader with this server's value is an earlier run of this server.
    if (leader.value !== ownValue) await contact.untilDead(leader, signal);
  };
}

/** Returns a listener that logs the events of the election. */
function createElectionLogger(logger: Logger): (event: ElectionEvent) => void {
  let isEtcdLost = false;
  return (event) => {
    const wasEtcdLost = isEtcdLost;
    isEtcdLost = event.kind === "unreachable";
    switch (event.kind) {
      case "waiting":
        logger.info({ leader: parseServerAddress(event.leader.value) }, "following the leader");
        return;
      case "elected":
        logger.info({ epoch: String(event.epoch) }, "elected leader");
        return;
      case "ended":
        logger.info({ epoch: String(event.epoch), reason: String(event.reason) }, "term ended");
        return;
      case "unreachable":
        if (!wasEtcdLost) {
          logger.warn({ err: event.cause }, "lost connection to etcd; no leader can be elected");
        }
        return;
      default:
        assertNever(event);
    }
  };
}
