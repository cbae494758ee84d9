import { BerthError } from "./errors.js";
import { BERTH_VERSION, PROTOCOL_VERSIONS, type ProtocolRange } from "./version.js";

/** One side of a connection, as it describes itself. */
export interface ProtocolPeer {
  /** Name of the program in messages, such as "agent". */
  readonly program: string;
  /** Release of the program. Empty if the program does not send it. */
  readonly release: string;
  readonly versions: ProtocolRange;
}

/** Protocol version of releases that sent no range. */
const FIRST_VERSION = 1;

/** Pattern of a range in the metadata of a call, such as "1-2". */
const RANGE_PATTERN = /^([0-9]{1,9})-([0-9]{1,9})$/;

/** Pattern of releases, which come from other programs and appear in messages. */
const RELEASE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$/;

/** Fields of `Hello` and `Welcome` with the versions of this program. */
export const PROTOCOL_FIELDS = {
  protocolVersion: PROTOCOL_VERSIONS.oldest,
  newestProtocolVersion: PROTOCOL_VERSIONS.newest,
} as const;

/** Returns this program as one side of a connection. */
export function ownPeer(program: string): ProtocolPeer {
  return { program, release: BERTH_VERSION, versions: PROTOCOL_VERSIONS };
}

/** Returns the range of two fields of a message. Programs of the first version send no `newest`, or neither of them. */
export function protocolRange(oldest: number, newest: number): ProtocolRange {
  const lowest = oldest || FIRST_VERSION;
  return { oldest: lowest, newest: Math.max(lowest, newest) };
}

/** Returns the versions for messages, such as "protocol 1 to 2". */
export function describeProtocol({ oldest, newest }: ProtocolRange): string {
  return oldest === newest ? `protocol ${newest}` : `protocol ${oldest} to ${newest}`;
}

/** Returns the versions for the metadata of a call, such as "1-2". */
export function formatProtocolRange({ oldest, newest }: ProtocolRange): string {
  return `${oldest}-${newest}`;
}

/** Parses the range of a program. A program that sends none speaks the first version. Undefined if it is malformed. */
export function parseProtocolRange(text: string | undefined): ProtocolRange | undefined {
  if (text === undefined) return { oldest: FIRST_VERSION, newest: FIRST_VERSION };
  const [, oldest, newest] = RANGE_PATTERN.exec(text) ?? [];
  const range = { oldest: Number(oldest), newest: Number(newest) };
  return range.oldest >= FIRST_VERSION && range.oldest <= range.newest ? range : undefined;
}

/** Returns the release that a program sent; "" when it is missing or malformed. */
export function parseRelease(text: string | undefined): string {
  return text !== undefined && RELEASE_PATTERN.test(text) ? text : "";
}

/** Returns the newest version that both programs speak, or undefined if there is none. */
export function commonVersion(left: ProtocolRange, right: ProtocolRange): number | undefined {
  const version = Math.min(left.newest, right.newest);
  return version >= Math.max(left.oldest, right.oldest) ? version : undefined;
}

/**
 * Returns the version to use on a connection: the newest one that both sides speak.
 *
 * @throws BerthError BERTH_VERSION_UNSUPPORTED that names both sides, and the one to upgrade
 */
export function negotiateVersion(own: ProtocolPeer, peer: ProtocolPeer): number {
  const version = commonVersion(own.versions, peer.versions);
  if (version !== undefined) return version;
  const older = peer.versions.newest < own.versions.oldest ? peer : own;
  throw new BerthError({
    code: "BERTH_VERSION_UNSUPPORTED",
    message: `releases are too far apart: the ${describePeer(peer)}, but the ${describePeer(own)}; upgrade the ${older.program}, one release at a time`,
    details: {
      own: formatProtocolRange(own.versions),
      peer: formatProtocolRange(peer.versions),
      upgrade: older.program,
    },
  });
}

function describePeer({ program, release, versions }: ProtocolPeer): string {
  return `${program}${release === "" ? "" : ` (release ${release})`} uses ${describeProtocol(versions)}`;
}
