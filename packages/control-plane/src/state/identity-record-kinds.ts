import {
  Authority,
  EtcdAuthorities,
  JoinToken,
  Server,
  Server_State as ServerState,
  User,
} from "@berth/proto";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import { defineKind, requireSameId, wrap } from "./record-kind.js";

export const authorityKind = defineKind<{ readonly authority: Authority }, { readonly fingerprint: string }>({
  collection: "authorities",
  keyFields: ["fingerprint"],
  idOf: ({ authority: { fingerprint } }) => ({ fingerprint }),
  encode: ({ authority }) => encodeMessage(Authority, authority),
  decode: (value, { fingerprint }) => {
    const authority = decodeMessage(Authority, value);
    requireSameId(authority.fingerprint, fingerprint);
    return { authority };
  },
  get: ({ authorities }, { fingerprint }) => wrap("authority", authorities.get(fingerprint)),
  put: ({ authorities }, { authority }) => authorities.set(authority.fingerprint, authority),
  delete: ({ authorities }, { fingerprint }) => authorities.delete(fingerprint),
  addToDelta: (delta) => delta.markAuthoritiesChanged(),
});

/** The authorities of etcd. There is at most one record, `ETCD_AUTHORITIES_NAME`. */
export const etcdAuthoritiesKind = defineKind<
  { readonly name: string; readonly etcdAuthorities: EtcdAuthorities },
  { readonly name: string }
>({
  collection: "etcd",
  keyFields: ["name"],
  idOf: ({ name }) => ({ name }),
  encode: ({ etcdAuthorities }) => encodeMessage(EtcdAuthorities, etcdAuthorities),
  decode: (value, { name }) => {
    const etcdAuthorities = decodeMessage(EtcdAuthorities, value);
    if (etcdAuthorities.authorities.length === 0) throw new Error("etcd has no authority");
    return { name, etcdAuthorities };
  },
  get: (tables, { name }) => {
    const etcdAuthorities = tables.etcdAuthorityRecords.get(name);
    return etcdAuthorities && { name, etcdAuthorities };
  },
  put: (tables, { name, etcdAuthorities }) => tables.etcdAuthorityRecords.set(name, etcdAuthorities),
  delete: (tables, { name }) => tables.etcdAuthorityRecords.delete(name),
  addToDelta: (delta) => delta.markEtcdAuthoritiesChanged(),
});

export const joinTokenKind = defineKind<{ readonly joinToken: JoinToken }, { readonly tokenId: string }>({
  collection: "tokens",
  keyFields: ["tokenId"],
  idOf: ({ joinToken }) => ({ tokenId: joinToken.id }),
  encode: ({ joinToken }) => encodeMessage(JoinToken, joinToken),
  decode: (value, { tokenId }) => {
    const joinToken = decodeMessage(JoinToken, value);
    requireSameId(joinToken.id, tokenId);
    return { joinToken };
  },
  get: ({ joinTokens }, { tokenId }) => wrap("joinToken", joinTokens.get(tokenId)),
  put: ({ joinTokens }, { joinToken }) => joinTokens.set(joinToken.id, joinToken),
  delete: ({ joinTokens }, { tokenId }) => joinTokens.delete(tokenId),
  addToDelta: () => {},
});

export const userKind = defineKind<{ readonly user: User }, { readonly userName: string }>({
  collection: "users",
  keyFields: ["userName"],
  idOf: ({ user }) => ({ userName: user.name }),
  encode: ({ user }) => encodeMessage(User, user),
  decode: (value, { userName }) => {
    const user = decodeMessage(User, value);
    requireSameId(user.name, userName);
    return { user };
  },
  get: ({ users }, { userName }) => wrap("user", users.get(userName)),
  put: ({ users }, { user }) => users.set(user.name, user),
  delete: ({ users }, { userName }) => users.delete(userName),
  addToDelta: (delta, _, { after }) => {
    if (after === undefined) delta.markIdentityRevoked();
  },
});

/** A server. The keys of its registration, which expires when the server dies, are in another collection. */
export const serverKind = defineKind<{ readonly server: Server }, { readonly serverId: string }>({
  collection: "serverrecords",
  keyFields: ["serverId"],
  idOf: ({ server }) => ({ serverId: server.id }),
  encode: ({ server }) => encodeMessage(Server, server),
  decode: (value, { serverId }) => {
    const server = decodeMessage(Server, value);
    requireSameId(server.id, serverId);
    return { server };
  },
  get: ({ servers }, { serverId }) => wrap("server", servers.get(serverId)),
  put: ({ servers }, { server }) => servers.set(server.id, server),
  delete: ({ servers }, { serverId }) => servers.delete(serverId),
  addToDelta: (delta, _, { after }) => {
    delta.markServersChanged();
    // The removed server may forward the response to the call that removes it.
    if (after?.server.state === ServerState.REMOVED) delta.markIdentityRevoked();
  },
});
