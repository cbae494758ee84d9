export * from "../gen/berth/v1/cluster.js";
export * from "../gen/berth/v1/control.js";
export * from "../gen/berth/v1/dispatcher.js";
export * from "../gen/berth/v1/event.js";
export * from "../gen/berth/v1/image.js";
export * from "../gen/berth/v1/ingress.js";
export * from "../gen/berth/v1/peer.js";
export * from "../gen/berth/v1/policy.js";
export * from "../gen/berth/v1/spec.js";
export * from "../gen/berth/v1/watch.js";
export { assertNever } from "./assert-never.js";
export { allocateChunk, shortenChunk } from "./chunks/chunk-codec.js";
export { gatherChunks, type StreamChunk } from "./chunks/gather-chunks.js";
// These replace the generated services.
export { ControlServiceService, DispatcherServiceService, ImageServiceService } from "./chunks/services.js";
export { compareVersions } from "./compare-versions.js";
export {
  BerthError,
  type BerthErrorOptions,
  ERROR_CODES,
  type ErrorCode,
  isAbortError,
  isBerthError,
  isErrorCode,
} from "./errors.js";
export { describeFileError, diskError } from "./file-error.js";
export { findByPrefix, type PrefixQuery } from "./find-by-prefix.js";
export { hasOnlyFiniteNumbers } from "./finite-numbers.js";
export { isGlob, matchesGlob } from "./glob.js";
export { type ListenErrorOptions, listenError } from "./listen-error.js";
export { checkSpec, DEFAULT_HOST_FILES, type PolicySubject } from "./policy/check-spec.js";
export {
  DEFAULT_POLICY,
  DEFAULT_RULE,
  findPolicyRule,
  POLICY_FLAG_KEYS,
  POLICY_LIST_KEYS,
  type PolicyFlagKey,
  type PolicyListKey,
  type ResolvedRule,
} from "./policy/policy-rule.js";
export { redactEnvironment } from "./policy/redact-environment.js";
export type { HostFiles, RuleViolation } from "./policy/rule-check.js";
export { policyKey, validatePolicy } from "./policy/validate-policy.js";
export {
  commonVersion,
  describeProtocol,
  negotiateVersion,
  ownPeer,
  PROTOCOL_FIELDS,
  type ProtocolPeer,
  parseRelease,
  protocolRange,
} from "./protocol.js";
export { type AddressRange, parseAddressRange } from "./spec/address-range.js";
export {
  applySpecDefaults,
  DEFAULT_CRON_HISTORY,
  DEFAULT_STOP_GRACE_MS,
} from "./spec/apply-spec-defaults.js";
export {
  type Constraint,
  type ConstraintOperator,
  canonicalAttribute,
  type ParsedConstraint,
  parseConstraint,
} from "./spec/constraint.js";
export { DESCRIPTION_LIMITS, isDescriptionText, toDescriptionText } from "./spec/description-limits.js";
export { ALL_DEVICES, CDI_DRIVER, GPU_CAPABILITY, gpusNeeded, isCdiDevice } from "./spec/device-requests.js";
export {
  DEFAULT_FILE_MODE,
  describeFileTarget,
  environmentValue,
  environmentValueProblem,
  fileKindName,
  MAX_FILE_BYTES,
  MAX_FILES_PER_SERVICE,
  MAX_PLACEHOLDER_PROBLEMS,
  validateFileContent,
  variableNameProblem,
} from "./spec/files.js";
export { NAMESPACE_MODES } from "./spec/host-access.js";
export { canonicalIp, hostAddressProblem, isLoopback } from "./spec/host-address.js";
export {
  hasDigest,
  imageProblem,
  imageReference,
  isImageDigest,
  managedImageId,
  managedImageName,
  shortDigest,
  taggedImage,
} from "./spec/image-reference.js";
export {
  fileNameProblem,
  MAX_NAME_LENGTH,
  networkNameProblem,
  scopedName,
  serviceNameProblem,
  stackNameProblem,
  unscopedName,
  volumeNameProblem,
} from "./spec/names.js";
export {
  ownerCycleViolations,
  ownerNames,
  ownerViolations,
  type SpecLookup,
  sharesOnlyMounts,
} from "./spec/owners.js";
export {
  credentialProblems,
  DOCKER_HUB,
  MAX_REGISTRY_SECRET_BYTES,
  parseRegistryServer,
  registryAddress,
  registryOf,
} from "./spec/registry.js";
export { type ParsedSchedule, parseSchedule, type Schedule } from "./spec/schedule.js";
export { selinuxMountProblem } from "./spec/selinux-mount.js";
export {
  ipv4Text,
  parseIpv4,
  parseSubnet,
  type Subnet,
  subnetHas,
  subnetSize,
  subnetsOverlap,
  subnetText,
} from "./spec/subnet.js";
export {
  fillPlaceholders,
  findPlaceholderProblems,
  type PlaceholderProblem,
  TASK_PLACEHOLDERS,
  type TaskPlaceholder,
} from "./spec/task-placeholders.js";
export { MAX_REPLICAS } from "./spec/validate-modes.js";
export {
  defaultNetworkName,
  MAX_NETWORKS,
  subnetProblem,
  validateNetworkSpec,
} from "./spec/validate-networks.js";
export { describePublishedPort, findPortConflicts, MAX_PORTS_PER_SERVICE } from "./spec/validate-ports.js";
export { validateServiceSpec } from "./spec/validate-service-spec.js";
export type { Violation } from "./spec/violation.js";
export { exitCodeText, MAX_STATUS_MESSAGE_LENGTH, MAX_UNKNOWN_TASKS, taskStatusText } from "./task-text.js";
export {
  AGENT_FENCES_AFTER_MS,
  ASK_PEERS_AFTER_MS,
  CONFIRM_DOWN_MS,
  CONFIRM_DOWN_ROUNDS,
  FENCE_GRACE_MS,
  LEADER_ASSUMES_FENCED_AFTER_MS,
  LEADER_LEASE_MS,
  PROBE_ROUND_MS,
  PROBE_TRIES,
  PROBE_TRY_MS,
} from "./timing.js";
export { scaleTiming, TIMING_SCALE, TIMING_SCALE_VARIABLE, timingScaleProblem } from "./timing-scale.js";
export { BERTH_VERSION, PROTOCOL_VERSIONS, type ProtocolRange } from "./version.js";
