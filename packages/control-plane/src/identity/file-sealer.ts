import { createHmac, hkdfSync } from "node:crypto";
import { type FileVersion, fileKindName } from "@berth/proto";
import type { FileSealer } from "../core/files/apply-file.js";
import { type ClusterKey, openBytes, seal } from "./cluster-key.js";

const MAC_ALGORITHM = "sha256";
const MAC_KEY_BYTES = 32;
const MAC_KEY_INFO = "berth: compare the contents of secrets and configs";

/** Returns the sealer of the secrets and configs of a cluster. */
export function createFileSealer(clusterKey: ClusterKey): FileSealer {
  const macKey = Buffer.from(hkdfSync(MAC_ALGORITHM, clusterKey, "", MAC_KEY_INFO, MAC_KEY_BYTES));
  return {
    seal: (file, content) => seal(clusterKey, content, contextOf(file)),
    open: (file) => openBytes(clusterKey, file.sealedContent, contextOf(file)),
    // The hash covers the name, so that two secrets with the same content have different hashes. Names have no "/".
    mac: ({ kind, name }, content) =>
      createHmac(MAC_ALGORITHM, macKey)
        .update(`${fileKindName(kind)}/${name}/`)
        .update(content)
        .digest(),
  };
}

/** A version opens only as itself: a writer to etcd cannot pass one secret off as another. */
function contextOf({ id, kind, name }: Pick<FileVersion, "id" | "kind" | "name">): string {
  return `version ${id} of ${fileKindName(kind)} ${name}`;
}
