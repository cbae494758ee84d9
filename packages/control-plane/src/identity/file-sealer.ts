import { type FileVersion, fileKindName } from "@berth/proto";
import type { FileSealer } from "../core/files/apply-file.js";
import { type ClusterKey, openBytes, seal } from "./cluster-key.js";

/** Returns the sealer of the secrets and configs of a cluster. */
export function createFileSealer(clusterKey: ClusterKey): FileSealer {
  return {
    seal: (file, content) => seal(clusterKey, content, fileContext(file)),
    open: (file) => openBytes(clusterKey, file.sealedContent, fileContext(file)),
    mac: (file, content) => clusterKey.macs(hashedParts(file, content))[0],
    hasContent: (file, content) =>
      clusterKey.macs(hashedParts(file, content)).some((mac) => mac.equals(file.contentMac)),
  };
}

/** Hashes cover the name, so that two secrets with the same content have different hashes. Names have no "/". */
function hashedParts({ kind, name }: Pick<FileVersion, "kind" | "name">, content: Uint8Array) {
  return [`${fileKindName(kind)}/${name}/`, content];
}

/** Binds the encryption to the version, so that a writer to etcd cannot swap one secret for another. */
export function fileContext({ id, kind, name }: Pick<FileVersion, "id" | "kind" | "name">): string {
  return `version ${id} of ${fileKindName(kind)} ${name}`;
}
