import { readFileSync } from "node:fs";

// Limits on the file descriptors of the ingress process.

/** Number of descriptors that are reserved for the control socket, child processes and files. */
const RESERVED_FDS = 512;
/** Maximum share of the limit that is reserved, for hosts with a low limit. */
const RESERVED_SHARE = 0.25;
/** Share of the remaining descriptors for TCP connections. UDP flows get the rest. */
const TCP_SHARE = 0.7;
/** Share of the remaining descriptors for clients that wait for admission. */
const WAITING_SHARE = 0.05;
/** Maximum number of UDP flows. It limits their memory on a host with a high limit of descriptors. */
export const MAX_UDP_FLOWS = 65_536;
/** Limit that is assumed when it cannot be read: the POSIX minimum. */
const FALLBACK_FD_LIMIT = 1_024;

/** Maximum number of connections of each kind. */
export interface FdBudget {
  /** TCP connections: two descriptors each. */
  readonly connections: number;
  /** Clients that wait for a connection to end: one descriptor each. */
  readonly waiting: number;
  /** UDP flows: one descriptor each. */
  readonly flows: number;
}

/** Divides the file descriptors of the ingress process among its connections. Each listener uses one. */
export function computeFdBudget(limit: number, listeners: number): FdBudget {
  const reserved = Math.min(RESERVED_FDS, limit * RESERVED_SHARE);
  const available = Math.max(0, limit - reserved - listeners);
  const tcp = available * TCP_SHARE;
  const waiting = available * WAITING_SHARE;
  return {
    connections: Math.floor(tcp / 2),
    waiting: Math.floor(waiting),
    flows: Math.min(MAX_UDP_FLOWS, Math.floor(available - tcp - waiting)),
  };
}

/** Returns the soft limit of open files. Node raises it to the hard limit at start. */
export function openFileLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return Number(line?.[1] ?? FALLBACK_FD_LIMIT);
  } catch {
    return FALLBACK_FD_LIMIT;
  }
}
