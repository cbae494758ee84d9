import {
  defaultNetworkName,
  describePublished,
  FileKind,
  findPortConflicts,
  NetworkSpec,
  type ServiceSpec,
  scopedName,
  unscopedName,
} from "@berth/proto";
import { DEFAULT_NETWORK } from "./keys/network-attachment-keys.js";
import type { Project, StackContext, StackFile, StackNetwork } from "./keys/stack-context.js";
import { reportCycles } from "./report-cycles.js";
import { type SelectedServices, selectServices } from "./select-services.js";
import { didYouMean } from "./text/suggest.js";
import { translateFiles } from "./translate-files.js";
import { translateNetworks } from "./translate-networks.js";
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
/** Top-level keys that Compose defines and berth does not support. */
const UNSUPPORTED_KEYS = {
  include: "include is not supported yet: pass the files with -c",
  models: "models are not supported yet",
};
/** Keys of a service. Below a top-level key, they indicate the Compose v1 format. */
const V1_KEYS = ["image", "build", "command"];

/** The specs that a Compose file translates to. */
export interface TranslatedStack {
  readonly specs: readonly ServiceSpec[];
  /** Networks that the stack owns and a service uses. */
  readonly networks: readonly NetworkSpec[];
  /** Secrets and configs that a service uses. */
  readonly files: readonly StackFile[];
  /** Where the parts of each service's spec are written, by the name of the service. */
  readonly origins: ReadonlyMap<string, TranslatedService["origins"]>;
}

/** Translates a merged and interpolated file to specs. Problems are reported to the cursor's diagnostics. */
export function translateStack(root: Cursor, project: Project): TranslatedStack {
  const fields = readFields(root);
  if (fields === undefined) return { specs: [], networks: [], files: [], origins: new Map() };
  reportTopLevelKeys(fields, root);
  const { enabled, disabled } = readServices(fields, root, project);
  const networks = readNetworks(fields.get("networks"), project);
  const context: StackContext = {
    project,
    diagnostics: root.diagnostics,
    serviceNames: new Set(enabled.keys()),
    disabledServices: disabled,
    networks,
    volumes: readVolumes(fields.get("volumes"), project),
    secrets: readFiles(fields.get("secrets"), FileKind.SECRET, project),
    configs: readFiles(fields.get("configs"), FileKind.CONFIG, project),
  };
  const translated = [...enabled].map(([name, cursor]) => translateService(name, cursor, context));
  reportCycles(translated, root.diagnostics);
  const specs = addLinkAliases(translated, project.stack);
  reportPortConflicts(specs, enabled, project.stack);
  const origins = new Map(translated.map((service) => [service.spec.name, service.origins]));
  const files = usedFiles(specs, context);
  return { specs, networks: usedNetworks(specs, networks), files, origins };
}

/** Returns the networks of the file and the implicit default network. */
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

/** Returns the networks that services join. Like Compose, berth does not create unused networks. */
function usedNetworks(
  specs: readonly ServiceSpec[],
  networks: ReadonlyMap<string, StackNetwork>,
): readonly NetworkSpec[] {
  const used = new Set(specs.flatMap(({ task }) => (task?.networks ?? []).map(({ network }) => network)));
  const owned = [...networks.values()].filter(({ name, isExternal }) => !isExternal && used.has(name));
  return [...new Map(owned.map(({ name, spec }) => [name, spec])).values()];
}

/** Returns the secrets and configs that services mount. Like Compose, berth does not read or create unused ones. */
function usedFiles(specs: readonly ServiceSpec[], { secrets, configs }: StackContext): readonly StackFile[] {
  const mounts = specs.flatMap(({ task }) => task?.container?.files ?? []);
  const used = new Set(mounts.map(({ kind, name }) => `${kind} ${name}`));
  return [...secrets.values(), ...configs.values()].filter(({ kind, name }) => used.has(`${kind} ${name}`));
}

/** Adds the aliases from `links` to the linked services, in the networks that both services join. */
function addLinkAliases(translated: readonly TranslatedService[], stack: string): readonly ServiceSpec[] {
  const aliases = new Map<string, string[]>();
  for (const { spec, links } of translated) {
    for (const { service, alias } of links) {
      for (const { network } of spec.task?.networks ?? []) {
        const key = attachmentKey(scopedName(stack, service), network);
        aliases.set(key, [...(aliases.get(key) ?? []), alias]);
      }
    }
  }
  return translated.map(({ spec }) => {
    if (aliases.size === 0 || spec.task === undefined) return spec;
    const networks = spec.task.networks.map((attachment) => {
      const linked = aliases.get(attachmentKey(spec.name, attachment.network)) ?? [];
      return { ...attachment, aliases: [...new Set([...attachment.aliases, ...linked])] };
    });
    return { ...spec, task: { ...spec.task, networks } };
  });
}

function attachmentKey(service: string, network: string): string {
  return `${service} ${network}`;
}

/** Reports unknown and unsupported keys at the top level. */
function reportTopLevelKeys(fields: ReadonlyMap<string, Cursor>, root: Cursor): void {
  for (const [key, field] of fields) {
    if (TOP_LEVEL_KEYS.includes(key)) continue;
    const isV1 = !fields.has("services") && listKeys(field.node).some((name) => V1_KEYS.includes(name));
    const hint = isV1 ? "; is services: missing above it?" : didYouMean(key, TOP_LEVEL_KEYS);
    root.diagnostics.error(keyPlace(field), `unknown key ${JSON.stringify(key)}${hint}`);
  }
  for (const [key, message] of Object.entries(UNSUPPORTED_KEYS)) {
    const field = fields.get(key);
    if (field !== undefined && !isNull(field.node)) root.diagnostics.error(keyPlace(field), message);
  }
}

function readVolumes(cursor: Cursor | undefined, project: Project): StackContext["volumes"] {
  return cursor === undefined || isNull(cursor.node) ? new Map() : translateVolumes(cursor, project);
}

function readFiles(
  cursor: Cursor | undefined,
  kind: FileKind,
  project: Project,
): ReadonlyMap<string, StackFile> {
  return cursor === undefined || isNull(cursor.node) ? new Map() : translateFiles(cursor, kind, project);
}

/** Reads the services. A file without services is an error. */
function readServices(fields: ReadonlyMap<string, Cursor>, root: Cursor, project: Project): SelectedServices {
  const cursor = fields.get("services");
  if (cursor !== undefined && listKeys(cursor.node).length > 0) return selectServices(cursor, project);
  if (cursor !== undefined || !root.diagnostics.hasErrors) {
    const message = "no services: add at least one service under services:";
    root.diagnostics.error(cursor ?? root, message);
  }
  return { enabled: new Map(), disabled: new Map() };
}

function listKeys(node: Node | undefined): readonly string[] {
  return node?.kind === "map" ? [...node.entries.keys()].filter((key) => !key.startsWith("x-")) : [];
}

/** Reports ports that two services publish. Every host listens on a published port, so only one service can use it. */
function reportPortConflicts(
  specs: readonly ServiceSpec[],
  services: ReadonlyMap<string, Cursor>,
  stack: string,
): void {
  const owned = specs.flatMap((spec) => spec.ports.map((port) => ({ port, owner: spec.name })));
  for (const [first, second] of findPortConflicts(owned.map(({ port }) => port))) {
    const [holder, conflicting] = [owned[first], owned[second]];
    if (holder === undefined || conflicting === undefined || holder.owner === conflicting.owner) continue;
    const service = services.get(unscopedName(stack, conflicting.owner));
    const ports = service?.node.kind === "map" ? service.node.entries.get("ports") : undefined;
    if (service === undefined || ports === undefined) continue;
    const place = { position: ports.value.position, path: `${service.path}.ports` };
    const port = describePublished(conflicting.port);
    const message = `port ${port} is already published by service ${unscopedName(stack, holder.owner)}`;
    service.diagnostics.error(place, message);
  }
}
