/** The version of berth that `berth version` prints. */
export const BERTH_VERSION = "0.1.0";

/** Incremented by each change to the protocol that an older agent, server or CLI could misinterpret. */
export const PROTOCOL_VERSION = 1;
