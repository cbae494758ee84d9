import {
  clashingPorts,
  describePublished,
  type ServiceSpec,
  scopedName,
  serviceNameProblem,
} from "@berth/proto";
import { type Cursor, keyPlace, readFields, readTexts } from "./cursor.js";
import { isNull, type Node } from "./node.js";
import type { Project } from "./project.js";
import type { StackContext } from "./service-draft.js";
import { didYouMean } from "./suggest.js";
import { translateService } from "./translate-service.js";
import { translateVolumes } from "./translate-volumes.js";

const TOP_LEVEL_KEYS = [
  "services",
  "volumes",
  "networks",
  "secrets",
  "configs",
  "include",
  "models",
  "name",
  "version",
];
/** Keys that a service has: at the top they mean a file of the first format. */
const V1_KEYS = ["image", "build", "command"];

/** The specs of a merged and interpolated file. What is wrong or left out is reported through the cursor. */
export function translateStack(root: Cursor, project: Project): readonly ServiceSpec[] {
  const fields = readFields(root);
  if (fields === undefined) return [];
  reportTopLevel(fields, root);
  const services = servicesOf(fields, root, project);
  const context: StackContext = {
    project,
    serviceNames: new Set(keysOf(fields.get("services")?.node)),
    networkNames: new Set(keysOf(fields.get("networks")?.node)),
    volumes: readVolumes(fields.get("volumes"), project),
  };
  const specs = [...services].map(([name, cursor]) => translateService(name, cursor, context));
  reportPortClashes(specs, services, project.stack);
  return specs;
}

function reportTopLevel(fields: ReadonlyMap<string, Cursor>, root: Cursor): void {
  for (const [key, field] of fields) {
    if (TOP_LEVEL_KEYS.includes(key)) continue;
    const isV1 = !fields.has("services") && keysOf(field.node).some((name) => V1_KEYS.includes(name));
    const hint = isV1 ? ": is services: missing above it?" : didYouMean(key, TOP_LEVEL_KEYS);
    root.diagnostics.error(keyPlace(field), `unknown key ${JSON.stringify(key)}${hint}`);
  }
  const refused = { include: "other files. Name them with -c", models: "models" };
  for (const [key, reason] of Object.entries(refused)) {
    const field = fields.get(key);
    if (field && !isNull(field.node)) root.diagnostics.error(keyPlace(field), `not supported yet: ${reason}`);
  }
  reportNetworks(fields.get("networks"));
  for (const key of ["secrets", "configs"]) {
    const field = fields.get(key);
    if (field && !isNull(field.node))
      root.diagnostics.warn(keyPlace(field), `not supported yet: ${key} are not created`);
  }
}

function reportNetworks(networks: Cursor | undefined): void {
  if (networks === undefined || isNull(networks.node) || keysOf(networks.node).length === 0) return;
  const message =
    "not supported yet: networks are not created. Containers use their host's bridge, and services of other hosts are reached through published ports";
  networks.diagnostics.warn(keyPlace(networks), message);
}

function readVolumes(cursor: Cursor | undefined, project: Project): StackContext["volumes"] {
  return cursor === undefined || isNull(cursor.node) ? new Map() : translateVolumes(cursor, project);
}

/** The services to deploy: all but those whose profiles are not asked for. */
function servicesOf(
  fields: ReadonlyMap<string, Cursor>,
  root: Cursor,
  project: Project,
): ReadonlyMap<string, Cursor> {
  const cursor = fields.get("services");
  if (cursor === undefined || isNull(cursor.node) || keysOf(cursor.node).length === 0) {
    if (cursor !== undefined || !root.diagnostics.hasErrors) {
      root.diagnostics.error(
        cursor ?? root,
        "there are no services: a file needs services: with at least one",
      );
    }
    return new Map();
  }
  const services = new Map<string, Cursor>();
  for (const [name, service] of readFields(cursor) ?? []) {
    const problem = serviceNameProblem(name) ?? serviceNameProblem(scopedName(project.stack, name));
    if (problem !== undefined) root.diagnostics.error(keyPlace(service), problem);
    else if (isNull(service.node)) reportEmptyService(service);
    else if (isInProfile(service, project)) services.set(name, service);
  }
  if (services.size === 0 && !root.diagnostics.hasErrors) {
    root.diagnostics.error(keyPlace(cursor), "no service is left: all of them need a profile");
  }
  return services;
}

/** A service whose alias leads nowhere is empty too, and that was said. */
function reportEmptyService(service: Cursor): void {
  if (service.diagnostics.hasErrorUnder(service.path)) return;
  service.diagnostics.error(keyPlace(service), "the service has no image");
}

/** A service without profiles is always in; others need one of theirs in COMPOSE_PROFILES. */
function isInProfile(service: Cursor, project: Project): boolean {
  const node = service.node.kind === "map" ? service.node.entries.get("profiles")?.value : undefined;
  if (node === undefined || isNull(node)) return true;
  const place = { ...service, node, at: node.at, path: `${service.path}.profiles` };
  const profiles = readTexts(place) ?? [];
  const active = (project.lookup("COMPOSE_PROFILES") ?? "").split(",");
  const isIn =
    profiles.length === 0 || active.includes("*") || profiles.some((profile) => active.includes(profile));
  if (!isIn) {
    const message = `the service is left out: it needs COMPOSE_PROFILES=${profiles.join(" or ")}`;
    service.diagnostics.warn(place, message);
  }
  return isIn;
}

function keysOf(node: Node | undefined): readonly string[] {
  return node?.kind === "map" ? [...node.entries.keys()].filter((key) => !key.startsWith("x-")) : [];
}

/** Two services cannot publish the same port: every host answers on it. */
function reportPortClashes(
  specs: readonly ServiceSpec[],
  services: ReadonlyMap<string, Cursor>,
  stack: string,
): void {
  const owned = specs.flatMap((spec) => spec.ports.map((port) => ({ port, owner: spec.name })));
  for (const [first, second] of clashingPorts(owned.map(({ port }) => port))) {
    const [holder, clashing] = [owned[first], owned[second]];
    if (holder === undefined || clashing === undefined || holder.owner === clashing.owner) continue;
    const service = services.get(unscoped(clashing.owner, stack));
    const ports = service?.node.kind === "map" ? service.node.entries.get("ports") : undefined;
    if (service === undefined || ports === undefined) continue;
    const place = { at: ports.value.at, path: `${service.path}.ports` };
    const port = describePublished(clashing.port);
    const message = `port ${port} is already published by the service ${unscoped(holder.owner, stack)}`;
    service.diagnostics.error(place, message);
  }
}

function unscoped(name: string, stack: string): string {
  return name.slice(scopedName(stack, "").length);
}
