export {
  type Authority,
  createAuthority,
  createRequest,
  crossSign,
  hashRequestKey,
  type IssueOptions,
  issueCertificate,
  type Validity,
} from "./authority.js";
export {
  type AuthorityCertificate,
  type CertificateFacts,
  type CertificateProblem,
  certificateFacts,
  fingerprintOf,
  parseCertificate,
  parseChain,
  readAuthority,
  readTrust,
  requireServer,
  requireValidAt,
  type Trust,
  type VerifierTime,
  verifyCertificate,
} from "./certificate.js";
export { type CertificateRenewerOptions, keepCertificateValid } from "./certificate-renewer.js";
export { authorityServerName, type FetchAuthorityOptions, fetchAuthority } from "./fetch-authority.js";
export {
  type ClusterIdentity,
  clusterNameProblem,
  describeIdentity,
  formatClusterUri,
  formatIdentityUri,
  type Identity,
  identityNameProblem,
  parseClusterUri,
  parseIdentityUri,
} from "./identity.js";
export { IdentityDirectory, type IdentityFiles, type IdentityPaths } from "./identity-directory.js";
export {
  formatJoinToken,
  joinKindWord,
  joinTokenId,
  type ParsedJoinToken,
  parseJoinToken,
  type TokenRejection,
  tokenRejection,
} from "./join-token.js";
export { createKey, isKeyOf } from "./private-key.js";
export { RENEWAL_GRACE_MS, type RenewalPolicy, type RenewalState, renewalState } from "./renewal.js";
export { RenewalDemand } from "./renewal-demand.js";
export { replaceFile } from "./replace-file.js";
