/** The release of berth that `berth version` prints. */
export const BERTH_VERSION = "0.2.0";

/** The versions of the protocol that a program speaks. */
export interface ProtocolRange {
  readonly oldest: number;
  readonly newest: number;
}

/**
 * The versions of the protocol that this release speaks: its own, and that of the previous release. They apply to all
 * connections between servers, agents, ingress processes and command lines. CONTRIBUTING.md says when to raise them.
 */
export const PROTOCOL_VERSIONS: ProtocolRange = { oldest: 1, newest: 2 };
