/** Version of this build of berth, as `berth version` prints it. */
export const BERTH_VERSION = "0.1.0";

/** Raised when an agent, a server or a command line of the old version could misunderstand the new one. */
export const PROTOCOL_VERSION = 1;
