import { Authority_State as AuthorityState, type ListAuthoritiesResponse } from "@berth/proto";
import { pluralize } from "../../output/human.js";

/** How far the rotation to a CA is. */
export type RotationProgress =
  /** The new CA was removed, which cancels the rotation. */
  | { readonly kind: "cancelled" }
  | { readonly kind: "announced"; readonly waitingFor: readonly string[] }
  /** The CA issues certificates, or has done so until the next rotation. */
  | { readonly kind: "issuing"; readonly nodes: number; readonly renewedNodes: number };

export function rotationProgress(
  fingerprint: string,
  { authorities, readyNodes, readyNodesRenewed }: ListAuthoritiesResponse,
): RotationProgress {
  const authority = authorities.find((each) => each.fingerprint === fingerprint);
  if (authority === undefined) return { kind: "cancelled" };
  if (authority.state === AuthorityState.ANNOUNCED)
    return { kind: "announced", waitingFor: authority.waitingFor };
  return { kind: "issuing", nodes: readyNodes, renewedNodes: readyNodesRenewed };
}

export function isRotationDone(progress: RotationProgress): boolean {
  return progress.kind === "issuing" && progress.renewedNodes >= progress.nodes;
}

/** Returns the progress as one line. */
export function rotationLine(progress: RotationProgress): string {
  switch (progress.kind) {
    case "cancelled":
      return "the new CA was removed";
    case "announced":
      if (progress.waitingFor.length === 0) return "all servers trust the new CA";
      return `waiting for servers to trust the new CA: ${progress.waitingFor.join(", ")}`;
    case "issuing":
      return `${progress.renewedNodes} of ${pluralize(progress.nodes, "connected node")} renewed`;
  }
}
