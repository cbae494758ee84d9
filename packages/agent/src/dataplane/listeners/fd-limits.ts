/** Descriptors that are neither connection nor port: the control socket, programs that are run, files; less of a few. */
const RESERVED_FILES = 512;
const RESERVED_SHARE = 0.25;
/** The rest is for flows of datagrams, a descriptor each. */
const SERVED_SHARE = 0.7;
const WAITING_SHARE = 0.05;
export const MAX_UDP_FLOWS = 65_536;

/** How many of each a process may have open at a time. */
export interface FileBudget {
  /** Connections of TCP, two descriptors each. */
  readonly connections: number;
  /** Clients that wait for one of them to end, a descriptor each. */
  readonly waiting: number;
  readonly flows: number;
}

/** @param limit of open files of the process; `ports` take one each */
export function fileBudget(limit: number, ports: number): FileBudget {
  const reserved = Math.min(RESERVED_FILES, limit * RESERVED_SHARE);
  const files = Math.max(0, limit - reserved - ports);
  const served = files * SERVED_SHARE;
  const waiting = files * WAITING_SHARE;
  return {
    connections: Math.floor(served / 2),
    waiting: Math.floor(waiting),
    flows: Math.min(MAX_UDP_FLOWS, Math.floor(files - served - waiting)),
  };
}
