import type { RpcIdentity } from "@berth/proto/rpc";

/** The options of `berth doctor` that its checks use. */
export interface CheckContext {
  /** The servers of the control plane, each as "host:port". */
  readonly servers: readonly string[];
  readonly advertiseAddress: string;
  /** The agent's data directory. */
  readonly dataDir: string;
  readonly dockerSocket: string;
  /** The agent's --ingress-user. */
  readonly ingressUser: string;
  /** The identity of a host that has joined a cluster, if its files are usable. */
  readonly identity?: RpcIdentity;
  readonly signal: AbortSignal;
}

/** Examines one aspect of the host without changing it. A rejection is reported as a failed check. */
export type Check = (context: CheckContext) => Promise<readonly Finding[]>;

/**
 * The result of a check. `warning`: berth works, but not as well as it could. `failed`: a feature of berth does not work
 * on this host. `skipped`: the check could not run, or has nothing to examine.
 */
export type Verdict = "ok" | "warning" | "failed" | "skipped";

export interface Finding {
  /** The examined feature or host, such as "nftables" or "peer h2". */
  readonly subject: string;
  readonly verdict: Verdict;
  /** The result, for the user. */
  readonly message: string;
  /** How to fix the problem. Empty if there is nothing to do. */
  readonly advice: string;
}

export function ok(subject: string, message: string): Finding {
  return { subject, verdict: "ok", message, advice: "" };
}

export function skipped(subject: string, message: string): Finding {
  return { subject, verdict: "skipped", message, advice: "" };
}

export function warning(subject: string, message: string, advice: string): Finding {
  return { subject, verdict: "warning", message, advice };
}

export function failed(subject: string, message: string, advice: string): Finding {
  return { subject, verdict: "failed", message, advice };
}
