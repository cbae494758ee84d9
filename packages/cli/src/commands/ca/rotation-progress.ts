import { Authority_State as AuthorityState, type ListAuthoritiesResponse } from "@berth/proto";
import { pluralize } from "../../output/human.js";

/** The progress of the rotation to a CA. `waitingFor` lists servers. */
export type RotationProgress =
  /** The new CA was removed, which cancels the rotation. */
  | { readonly kind: "canceled" }
  /** Servers do not trust the new CA yet. */
  | { readonly kind: "announced"; readonly waitingFor: readonly string[] }
  /** Servers still have etcd certificates from the earlier CA. */
  | { readonly kind: "replacing"; readonly waitingFor: readonly string[] }
  /** The etcd members of servers still trust the earlier CA. */
  | { readonly kind: "removing"; readonly waitingFor: readonly string[] }
  /** The new CA of etcd is the only one. */
  | { readonly kind: "done" }
  /** The CA issues certificates, or issued them until the next rotation. */
  | { readonly kind: "issuing"; readonly nodes: number; readonly renewedNodes: number };

/** Returns the progress of the rotation to a CA of the cluster. */
export function rotationProgress(
  fingerprint: string,
  { authorities, readyNodes, readyNodesRenewed }: ListAuthoritiesResponse,
): RotationProgress {
  const authority = authorities.find((each) => each.fingerprint === fingerprint);
  if (authority === undefined) return { kind: "canceled" };
  if (authority.state === AuthorityState.ANNOUNCED) {
    return { kind: "announced", waitingFor: authority.waitingFor };
  }
  return { kind: "issuing", nodes: readyNodes, renewedNodes: readyNodesRenewed };
}

/** Returns the progress of the rotation to a CA of etcd. */
export function etcdRotationProgress(
  fingerprint: string,
  { etcdAuthorities }: ListAuthoritiesResponse,
): RotationProgress {
  const authority = etcdAuthorities.find((each) => each.fingerprint === fingerprint);
  if (authority === undefined || authority.state === AuthorityState.REMOVING) return { kind: "canceled" };
  if (authority.state === AuthorityState.ANNOUNCED) {
    return { kind: "announced", waitingFor: authority.waitingFor };
  }
  const [earlier] = etcdAuthorities.filter((each) => each !== authority);
  if (earlier === undefined) return { kind: "done" };
  const { state, waitingFor } = earlier;
  return { kind: state === AuthorityState.RETIRING ? "replacing" : "removing", waitingFor };
}

export function isRotationDone(progress: RotationProgress): boolean {
  return progress.kind === "done" || (progress.kind === "issuing" && progress.renewedNodes >= progress.nodes);
}

/** Returns the progress as one line. */
export function rotationLine(progress: RotationProgress): string {
  switch (progress.kind) {
    case "canceled":
      return "the new CA was removed";
    case "announced":
      if (progress.waitingFor.length === 0) return "all servers trust the new CA";
      return waitingLine("to trust the new CA", progress.waitingFor);
    case "replacing":
      return waitingLine("to replace their certificates", progress.waitingFor);
    case "removing":
      return waitingLine("to stop trusting the earlier CA", progress.waitingFor);
    case "done":
      return "no etcd member trusts the earlier CA any longer";
    case "issuing":
      return `${progress.renewedNodes} of ${pluralize(progress.nodes, "connected node")} renewed`;
  }
}

function waitingLine(action: string, servers: readonly string[]): string {
  const names = servers.length === 0 ? "" : `: ${servers.join(", ")}`;
  return `waiting for servers ${action}${names}`;
}
