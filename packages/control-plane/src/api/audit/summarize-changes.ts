import { availabilityToJSON, fileKindName, type Node, type Service, shortDigest } from "@berth/proto";
import { MAX_SUMMARY_LENGTH } from "../../core/audit/audit-record.js";
import { isRemoved } from "../../core/membership/server-records.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

const SEPARATOR = "; ";

/** Length that a summary reserves for the separator and the number of omitted changes: `; and 1000 more`. */
const OMITTED_NOTE_LENGTH = 20;

/**
 * Describes the most important changes of a decision, such as `shop_web: version 1 -> 2, image app:1 -> app:2`. `state`
 * holds the records before the changes. The values of labels and environment variables are left out, because they may
 * be secret.
 */
export function summarizeChanges(changes: readonly Change[], state: ClusterState): string {
  const descriptions: string[] = [];
  let length = 0;
  let omitted = 0;
  for (const change of changes) {
    const text = describeChange(change, state);
    if (text === undefined) continue;
    length += text.length + SEPARATOR.length;
    if (length <= MAX_SUMMARY_LENGTH - OMITTED_NOTE_LENGTH) {
      descriptions.push(text);
    } else if (descriptions.length === 0) {
      descriptions.push(`${text.slice(0, MAX_SUMMARY_LENGTH - OMITTED_NOTE_LENGTH)}...`);
    } else {
      omitted += 1;
    }
  }
  if (omitted > 0) descriptions.push(`and ${omitted} more`);
  return descriptions.join(SEPARATOR) || "no changes";
}

/** Returns undefined for changes that follow from another change. */
function describeChange(change: Change, state: ClusterState): string | undefined {
  switch (change.kind) {
    case "put-service":
      return describeService(state.services.get(change.service.id), change.service);
    case "put-node":
      return describeNode(state.nodes.get(change.node.id), change.node);
    case "delete-node":
      return `node ${state.nodes.get(change.nodeId)?.description?.hostname || change.nodeId} removed`;
    case "put-server":
      return isRemoved(change.server) ? `server ${change.server.hostname} removed` : undefined;
    case "put-network": {
      const { id, spec, removing } = change.network;
      if (removing) return `network ${spec?.name ?? id} removed`;
      const verb = state.networks.get(id) === undefined ? "created" : "updated";
      return `network ${spec?.name ?? id} ${verb}`;
    }
    case "put-file": {
      const { kind, name, version, removing } = change.file;
      const outcome = removing ? "removed" : `version ${version}`;
      return `${fileKindName(kind)} ${name} ${outcome}`;
    }
    case "put-login": {
      const { server, username } = change.login;
      return `registry login for ${server} as ${username || "token"} stored`;
    }
    case "delete-login":
      return `registry login for ${state.logins.get(change.loginId)?.server ?? change.loginId} removed`;
    default:
      return undefined;
  }
}

function describeService(before: Service | undefined, after: Service): string {
  const name = after.spec?.name ?? after.id;
  if (after.removing) return `${name} removed`;
  const fields = [
    describeField("version", before?.version, after.version),
    describeField("image", imageOf(before), imageOf(after)),
    describeField("digest", digestOf(before), digestOf(after)),
    describeField("replicas", replicasOf(before), replicasOf(after)),
  ].filter((field) => field !== "");
  const subject = before === undefined ? `${name} created` : name;
  return fields.length === 0 ? `${subject}: other fields changed` : `${subject}: ${fields.join(", ")}`;
}

function describeNode(before: Node | undefined, after: Node): string {
  const labelKeys = new Set([...Object.keys(before?.labels ?? {}), ...Object.keys(after.labels)]);
  const changedKeys = [...labelKeys].filter((key) => before?.labels[key] !== after.labels[key]);
  const fields = [
    describeField("availability", availabilityOf(before), availabilityOf(after)),
    ...changedKeys.map((key) => `label ${key} ${after.labels[key] === undefined ? "removed" : "set"}`),
  ].filter((field) => field !== "");
  return `node ${after.description?.hostname || after.id}: ${fields.join(", ") || "no changes"}`;
}

function describeField(
  name: string,
  before: string | number | undefined,
  after: string | number | undefined,
): string {
  if (before === after) return "";
  return before === undefined ? `${name} ${after}` : `${name} ${before} -> ${after ?? "none"}`;
}

function imageOf(service: Service | undefined): string | undefined {
  return service?.spec?.task?.container?.image;
}

/** Returns undefined while the tag of the image is not resolved. */
function digestOf(service: Service | undefined): string | undefined {
  const digest = service?.spec?.task?.container?.imageDigest ?? "";
  return digest === "" ? undefined : shortDigest(digest);
}

function replicasOf(service: Service | undefined): number | undefined {
  const mode = service?.spec?.mode;
  return mode?.$case === "replicated" ? mode.value.replicas : undefined;
}

function availabilityOf(node: Node | undefined): string | undefined {
  if (node === undefined || node.availability === 0) return undefined;
  return availabilityToJSON(node.availability).replace("AVAILABILITY_", "").toLowerCase();
}
