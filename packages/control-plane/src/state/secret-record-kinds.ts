import { ClusterKeyState, FileVersion, RegistryLogin } from "@berth/proto";
import { loginKey } from "../core/registries/registry-logins.js";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import { defineKind, requireSameId, wrap } from "./record-kind.js";

/** A version of a secret or config. */
export const fileKind = defineKind<{ readonly file: FileVersion }, { readonly fileId: string }>({
  collection: "files",
  keyFields: ["fileId"],
  idOf: ({ file }) => ({ fileId: file.id }),
  encode: ({ file }) => encodeMessage(FileVersion, file),
  decode: (value, { fileId }) => {
    const file = decodeMessage(FileVersion, value);
    requireSameId(file.id, fileId);
    return { file };
  },
  get: ({ files }, { fileId }) => wrap("file", files.get(fileId)),
  put: ({ files }, { file }) => files.put(file),
  delete: ({ files }, { fileId }) => files.delete(fileId),
  addToDelta: (delta) => delta.markFilesChanged(),
});

/** Credentials for an image registry. */
export const loginKind = defineKind<{ readonly login: RegistryLogin }, { readonly loginId: string }>({
  collection: "logins",
  keyFields: ["loginId"],
  idOf: ({ login }) => ({ loginId: login.id }),
  encode: ({ login }) => encodeMessage(RegistryLogin, login),
  decode: (value, { loginId }) => {
    const login = decodeMessage(RegistryLogin, value);
    requireSameId(login.id, loginId);
    return { login };
  },
  get: ({ logins }, { loginId }) => wrap("login", logins.get(loginId)),
  put: ({ logins }, { login }) => logins.put(login),
  delete: ({ logins }, { loginId }) => logins.delete(loginId),
  addToDelta: ({ registryLogins }, _, { before, after }) => {
    for (const change of [before, after]) {
      if (change) registryLogins.add(loginKey(change.login));
    }
  },
});

/** Which cluster key is in use. There is at most one record, `CLUSTER_KEY_NAME`. */
export const clusterKeyKind = defineKind<
  { readonly name: string; readonly clusterKey: ClusterKeyState },
  { readonly name: string }
>({
  collection: "keys",
  keyFields: ["name"],
  idOf: ({ name }) => ({ name }),
  encode: ({ clusterKey }) => encodeMessage(ClusterKeyState, clusterKey),
  decode: (value, { name }) => {
    const clusterKey = decodeMessage(ClusterKeyState, value);
    if (clusterKey.currentId === "") throw new Error("the cluster key has no id");
    return { name, clusterKey };
  },
  get: ({ clusterKeys }, { name }) => {
    const clusterKey = clusterKeys.get(name);
    return clusterKey && { name, clusterKey };
  },
  put: ({ clusterKeys }, { name, clusterKey }) => clusterKeys.set(name, clusterKey),
  delete: ({ clusterKeys }, { name }) => clusterKeys.delete(name),
  addToDelta: (delta) => delta.markClusterKeyChanged(),
});
