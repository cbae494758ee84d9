import { assertNever } from "../assert-never.js";

/** The server, node or user that a certificate identifies. */
export type Identity =
  | { readonly kind: "server"; readonly id: string }
  | { readonly kind: "node"; readonly id: string }
  | { readonly kind: "user"; readonly name: string };

/** An identity and its cluster, as a certificate names them. */
export interface ClusterIdentity {
  readonly cluster: string;
  readonly identity: Identity;
}

const URI_SCHEME = "spiffe://";

/** Maximum length of an identity URI. The longest URI that the rules below allow has 142 characters. */
const MAX_URI_LENGTH = 160;

/** Pattern of a cluster name: a host name in lower case, as SPIFFE requires for a trust domain. */
const CLUSTER_NAME_PATTERN = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;
/** Pattern of a name: the characters that SPIFFE allows in a path segment. The first one is not a dot. */
const IDENTITY_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Returns why text is not a valid cluster name for certificates, or undefined if it is. */
export function clusterNameProblem(cluster: string): string | undefined {
  if (CLUSTER_NAME_PATTERN.test(cluster)) return undefined;
  return `invalid cluster name ${quote(cluster)}; use at most 63 lower-case letters, digits, - and .`;
}

/** Returns why text is not a valid server or node ID or user name, or undefined if it is. */
export function identityNameProblem(name: string): string | undefined {
  if (IDENTITY_NAME_PATTERN.test(name)) return undefined;
  return `invalid name ${quote(name)}; use at most 64 ASCII letters, digits, ., _ and -, starting with a letter or digit`;
}

/**
 * Returns the URI of an identity in certificates.
 *
 * @throws Error for a name that no certificate can have
 */
export function formatIdentityUri({ cluster, identity }: ClusterIdentity): string {
  const name = nameOf(identity);
  const problem = clusterNameProblem(cluster) ?? identityNameProblem(name);
  if (problem !== undefined) throw new Error(problem);
  return `${URI_SCHEME}${cluster}/${identity.kind}/${name}`;
}

/** Returns the identity that a URI names; undefined unless it is exactly what `formatIdentityUri` returns. */
export function parseIdentityUri(uri: string): ClusterIdentity | undefined {
  if (uri.length > MAX_URI_LENGTH || !uri.startsWith(URI_SCHEME)) return undefined;
  const [cluster = "", kind, name = "", ...rest] = uri.slice(URI_SCHEME.length).split("/");
  if (rest.length > 0 || !CLUSTER_NAME_PATTERN.test(cluster) || !IDENTITY_NAME_PATTERN.test(name)) {
    return undefined;
  }
  const identity = createIdentity(kind, name);
  return identity && { cluster, identity };
}

/** Returns the URI of a cluster, which its CA certificates have as their name. */
export function formatClusterUri(cluster: string): string {
  const problem = clusterNameProblem(cluster);
  if (problem !== undefined) throw new Error(problem);
  return URI_SCHEME + cluster;
}

/** Returns the cluster of a CA certificate's URI, or undefined if the URI is not one of a cluster. */
export function parseClusterUri(uri: string): string | undefined {
  const cluster = uri.startsWith(URI_SCHEME) ? uri.slice(URI_SCHEME.length) : "";
  return CLUSTER_NAME_PATTERN.test(cluster) ? cluster : undefined;
}

/** Returns an identity for messages and logs, such as `node "n1"`. */
export function describeIdentity(identity: Identity): string {
  return `${identity.kind} "${nameOf(identity)}"`;
}

function createIdentity(kind: string | undefined, name: string): Identity | undefined {
  switch (kind) {
    case "server":
    case "node":
      return { kind, id: name };
    case "user":
      return { kind, name };
    default:
      return undefined;
  }
}

function nameOf(identity: Identity): string {
  switch (identity.kind) {
    case "server":
    case "node":
      return identity.id;
    case "user":
      return identity.name;
    default:
      return assertNever(identity);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
