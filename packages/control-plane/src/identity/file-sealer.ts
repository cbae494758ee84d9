import { type FileVersion, fileKindName } from "@berth/proto";
import type { FileSealer } from "../core/files/apply-file.js";
import { type ClusterKey, openBytes, seal } from "./cluster-key.js";

/** Returns the sealer of the secrets and configs of a cluster. */
export function createFileSealer(clusterKey: ClusterKey): FileSealer {
  return {
    seal: (file, content) => seal(clusterKey, content, fileContext(file)),
    open: (file) => openBytes(clusterKey, file.sealedContent, fileContext(file)),
    mac: (file, content) => clusterKey.macs(hashedChunks(file, content))[0],
    hasContent: (file, content) =>
      clusterKey.macs(hashedChunks(file, content)).some((mac) => mac.equals(file.contentMac)),
  };
}

/**
 * Returns what the hash of a content covers. The name, which has no "/", makes the hashes of two secrets with the same
 * content differ.
 */
function hashedChunks(
  { kind, name }: Pick<FileVersion, "kind" | "name">,
  content: Uint8Array,
): readonly (string | Uint8Array)[] {
  return [`${fileKindName(kind)}/${name}/`, content];
}

/** Returns the context that binds the encryption to a version, so that a writer to etcd cannot swap two secrets. */
export function fileContext({ id, kind, name }: Pick<FileVersion, "id" | "kind" | "name">): string {
  return `version ${id} of ${fileKindName(kind)} ${name}`;
}
