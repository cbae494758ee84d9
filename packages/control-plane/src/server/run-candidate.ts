import { assertNever, LEADER_LEASE_MS } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { NetworkPool } from "../core/allocator/address-pool.js";
import type { Metrics } from "../http/metrics.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import { campaign, type ElectionEvent } from "../store/election.js";
import { LEADER_KEY } from "../store/keys.js";
import type { Store } from "../store/store.js";
import { lead } from "./leader.js";
import type { LeaderContact } from "./leader-contact.js";
import type { Role } from "./role.js";
import { addressIn, type ServerRegistry } from "./server-registry.js";

/** After a term that ended by a failure of ours, so that the failure is not repeated as fast as elections go. */
const FAILED_TERM_PAUSE_MS = 1_000;

export interface CandidateOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly probe: Probe;
  readonly role: Role;
  readonly registry: ServerRegistry;
  readonly metrics: Metrics;
  /** Where agents and people reach this server. */
  readonly address: string;
  readonly autoRebalanceMs: number | undefined;
  /** Absent: the lead of the store stays where it is. */
  readonly moveEtcdLeader: ((signal: AbortSignal) => Promise<boolean>) | undefined;
  /** Where networks over hosts get their addresses. */
  readonly networkPool: NetworkPool | undefined;
  /** Hosts that a network may have before they are told where its containers are. */
  readonly floodLimit: number | undefined;
  /** What it stands for election with. */
  readonly self: string;
  /** Absent: a dead leader is replaced when its lease has run out. */
  readonly contact: LeaderContact | undefined;
}

/** Stands for election and leads whenever it is elected, until `signal` aborts. */
export async function runCandidate(options: CandidateOptions, signal: AbortSignal): Promise<void> {
  const { store, runtime, logger, probe, role, registry, metrics, address, self, contact } = options;
  const candidacy = {
    store,
    clock: runtime.clock,
    key: LEADER_KEY,
    value: self,
    ttlSeconds: LEADER_LEASE_MS / 1_000,
    ...(contact && { whenDead: contact.untilDead.bind(contact) }),
    onEvent: electionLog(logger),
  };
  for await (const term of campaign(candidacy, signal)) {
    const termLogger = logger.child({ epoch: String(term.epoch) });
    try {
      await lead(
        term,
        {
          store,
          runtime,
          probe,
          logger: termLogger,
          observer: metrics,
          address,
          autoRebalanceMs: options.autoRebalanceMs,
          moveEtcdLeader: options.moveEtcdLeader,
          networkPool: options.networkPool,
          floodLimit: options.floodLimit,
          servers: () => registry.addresses(),
          serve: (leadership) => role.setLeadership(leadership),
        },
        signal,
      );
    } catch (error) {
      termLogger.error({ err: error }, "leading failed; the term is given up");
      await sleep(runtime.clock, FAILED_TERM_PAUSE_MS, signal);
    }
  }
}

function electionLog(logger: Logger): (event: ElectionEvent) => void {
  let isUnreachable = false;
  return (event) => {
    const wasUnreachable = isUnreachable;
    isUnreachable = event.kind === "unreachable";
    switch (event.kind) {
      case "waiting":
        logger.info({ leader: addressIn(event.leader.value) }, "following");
        return;
      case "elected":
        logger.info({ epoch: String(event.epoch) }, "elected leader");
        return;
      case "ended":
        logger.info({ epoch: String(event.epoch), reason: String(event.reason) }, "leads no more");
        return;
      case "unreachable":
        if (!wasUnreachable)
          logger.warn({ err: event.cause }, "etcd does not answer; there can be no leader");
        return;
      default:
        assertNever(event);
    }
  };
}
