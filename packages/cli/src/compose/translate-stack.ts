import {
  clashingPorts,
  defaultNetworkName,
  describePublished,
  NetworkSpec,
  type ServiceSpec,
  scopedName,
} from "@berth/proto";
import { DEFAULT_NETWORK } from "./keys/network-attachment-keys.js";
import type { StackContext } from "./keys/service-draft.js";
import type { Project } from "./project.js";
import { reportCycles } from "./report-cycles.js";
import { type SelectedServices, selectServices } from "./select-services.js";
import { didYouMean } from "./text/suggest.js";
import { type StackNetwork, translateNetworks } from "./translate-networks.js";
import { type TranslatedService, translateService } from "./translate-service.js";
import { translateVolumes } from "./translate-volumes.js";
import { type Cursor, keyPlace, readFields } from "./tree/cursor.js";
import { isNull, type Node } from "./tree/node.js";

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

/** What a file says is to be deployed. */
export interface TranslatedStack {
  readonly specs: readonly ServiceSpec[];
  /** Networks that services use and that go with the stack. */
  readonly networks: readonly NetworkSpec[];
}

/** The specs of a merged and interpolated file. What is wrong or left out is reported through the cursor. */
export function translateStack(root: Cursor, project: Project): TranslatedStack {
  const fields = readFields(root);
  if (fields === undefined) return { specs: [], networks: [] };
  reportTopLevel(fields, root);
  const { active, inactive } = servicesOf(fields, root, project);
  const networks = readNetworks(fields.get("networks"), project);
  const context: StackContext = {
    project,
    diagnostics: root.diagnostics,
    serviceNames: new Set(active.keys()),
    inactiveNames: inactive,
    networks,
    volumes: readVolumes(fields.get("volumes"), project),
  };
  const translated = [...active].map(([name, cursor]) => translateService(name, cursor, context));
  reportCycles(translated, root.diagnostics);
  const specs = withLinks(translated, project.stack);
  reportPortClashes(specs, active, project.stack);
  return { specs, networks: usedNetworks(specs, networks) };
}

/** Those of the file, and the default one, which is there without a word. */
function readNetworks(cursor: Cursor | undefined, project: Project): ReadonlyMap<string, StackNetwork> {
  const { stack } = project;
  const named =
    cursor === undefined || isNull(cursor.node)
      ? new Map<string, StackNetwork>()
      : translateNetworks(cursor, project);
  if (named.has(DEFAULT_NETWORK)) return named;
  const name = defaultNetworkName(stack);
  const spec = NetworkSpec.fromPartial({ name, stack });
  return new Map([...named, [DEFAULT_NETWORK, { name, isExternal: false, spec, mode: undefined }]]);
}

/** As Docker Compose does: a network that no service is in is not made. */
function usedNetworks(
  specs: readonly ServiceSpec[],
  networks: ReadonlyMap<string, StackNetwork>,
): readonly NetworkSpec[] {
  const used = new Set(specs.flatMap(({ task }) => (task?.networks ?? []).map(({ network }) => network)));
  const own = [...networks.values()].filter(({ name, isExternal }) => !isExternal && used.has(name));
  return [...new Map(own.map(({ name, spec }) => [name, spec])).values()];
}

/** Gives services the names that others link to them by, in the networks that both are in. */
function withLinks(translated: readonly TranslatedService[], stack: string): readonly ServiceSpec[] {
  const aliases = new Map<string, string[]>();
  for (const { spec, links } of translated) {
    for (const { service, alias } of links) {
      for (const { network } of spec.task?.networks ?? []) {
        const key = `${scopedName(stack, service)} ${network}`;
        aliases.set(key, [...(aliases.get(key) ?? []), alias]);
      }
    }
  }
  return translated.map(({ spec }) => {
    if (aliases.size === 0 || spec.task === undefined) return spec;
    const networks = spec.task.networks.map((attachment) => {
      const linked = aliases.get(`${spec.name} ${attachment.network}`) ?? [];
      return { ...attachment, aliases: [...new Set([...attachment.aliases, ...linked])] };
    });
    return { ...spec, task: { ...spec.task, networks } };
  });
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
  for (const key of ["secrets", "configs"]) {
    const field = fields.get(key);
    if (field && !isNull(field.node))
      root.diagnostics.warn(keyPlace(field), `not supported yet: ${key} are not created`);
  }
}

function readVolumes(cursor: Cursor | undefined, project: Project): StackContext["volumes"] {
  return cursor === undefined || isNull(cursor.node) ? new Map() : translateVolumes(cursor, project);
}

/** The services of the file; none when it has none, which is reported. */
function servicesOf(fields: ReadonlyMap<string, Cursor>, root: Cursor, project: Project): SelectedServices {
  const cursor = fields.get("services");
  if (cursor !== undefined && keysOf(cursor.node).length > 0) return selectServices(cursor, project);
  if (cursor !== undefined || !root.diagnostics.hasErrors) {
    const message = "there are no services: a file needs services: with at least one";
    root.diagnostics.error(cursor ?? root, message);
  }
  return { active: new Map(), inactive: new Map() };
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
