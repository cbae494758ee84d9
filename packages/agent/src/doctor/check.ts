import type { Finding } from "./finding.js";

/** Where and as whom the checks look. */
export interface CheckContext {
  /** "host:port" of the servers. */
  readonly servers: readonly string[];
  readonly advertiseAddress: string;
  readonly dataDir: string;
  readonly dockerSocket: string;
  readonly signal: AbortSignal;
}

/** Looks at one side of a host; changes nothing. May reject: then it is said that it could not be looked at. */
export type Check = (context: CheckContext) => Promise<readonly Finding[]>;
