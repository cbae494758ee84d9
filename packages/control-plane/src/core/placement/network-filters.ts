import type { NetworkAttachment } from "@berth/proto";
import { encryptionProblem, overlayProblem } from "../network/take-part.js";
import { nodesText } from "../words.js";
import type { NodeFilter } from "./filters.js";

/** Tasks go where all of the networks can be that they need: a container without one of them would not be reached. */
export function networkFilters(networks: readonly NetworkAttachment[]): readonly NodeFilter[] {
  if (networks.length === 0) return [];
  const overlay: NodeFilter = {
    name: "network",
    passes: ({ node }) => overlayProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} have networks that span hosts (berth node inspect says why)`,
  };
  if (!networks.some(({ encrypted }) => encrypted)) return [overlay];
  const encryption: NodeFilter = {
    name: "encrypted-network",
    passes: ({ node }) => encryptionProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} encrypt networks (berth node inspect says why)`,
  };
  return [overlay, encryption];
}
