import {
  describePublishedPort,
  FileKind,
  findPortConflicts,
  type NetworkSpec,
  type ServiceSpec,
  scopedName,
  unscopedName,
} from "@berth/proto";
import { completeCompanions } from "./complete-companions.js";
import type { Shipment } from "./keys/relative-binds.js";
import type { ServiceBuild } from "./keys/service-build.js";
import type { StackContext, StackFile, StackNetwork } from "./keys/stack-context.js";
import { findPlace } from "./text/diagnostics.js";
import { translateFiles } from "./translate-files.js";
import { translateNetworks } from "./translate-networks.js";
import { type TranslatedService, translateService } from "./translate-service.js";
import { translateVolumes } from "./translate-volumes.js";
import { type Cursor, keyPlace, listFields } from "./tree/cursor.js";
import { textOf } from "./tree/node.js";

/** The specs that a Compose file translates to. */
export interface TranslatedStack {
  readonly specs: readonly ServiceSpec[];
  /** Networks that the stack owns and a service uses. */
  readonly networks: readonly NetworkSpec[];
  /** Secrets and configs that a service uses. */
  readonly files: readonly StackFile[];
  /** The services whose images can be built. */
  readonly builds: readonly ServiceBuild[];
  /** The files and directories that services ship. */
  readonly shipments: readonly Shipment[];
  /** Locations of the parts of each service's spec, by the name of the service. */
  readonly origins: ReadonlyMap<string, TranslatedService["origins"]>;
}

/** Translates a resolved Compose file to specs. Problems are reported to the cursor's diagnostics. */
export function translateStack(root: Cursor, stack: string): TranslatedStack {
  const sections = listFields(root);
  const models = sections.get("models");
  if (models !== undefined) {
    root.diagnostics.error(
      keyPlace(models),
      "models need Docker Model Runner, which nodes do not have; run the model as a service",
    );
  }
  const services = entriesOf(sections.get("services"));
  const networks = translateNetworks(entriesOf(sections.get("networks")), stack);
  const context: StackContext = {
    stack,
    diagnostics: root.diagnostics,
    serviceNames: new Set(services.keys()),
    serviceByContainer: servicesByContainerName(services),
    networks,
    volumes: translateVolumes(entriesOf(sections.get("volumes"))),
    secrets: translateFiles(entriesOf(sections.get("secrets")), FileKind.SECRET),
    configs: translateFiles(entriesOf(sections.get("configs")), FileKind.CONFIG),
  };
  const translated = completeCompanions(
    [...services].map(([name, cursor]) => translateService(name, cursor, context)),
    root.diagnostics,
  );
  const specs = addLinkAliases(translated, stack);
  const origins = new Map(translated.map((service) => [service.spec.name, service.origins]));
  reportPortConflicts(specs, origins, context);
  const builds = translated.flatMap(({ build }) => build ?? []);
  return {
    specs,
    builds,
    origins,
    shipments: translated.flatMap((service) => service.shipments),
    networks: usedNetworks(specs, networks),
    files: usedFiles(specs, context),
  };
}

/** Returns the services that set `container_name`, by that name. */
function servicesByContainerName(services: ReadonlyMap<string, Cursor>): ReadonlyMap<string, string> {
  const servicesByName = new Map<string, string>();
  for (const [service, { node }] of services) {
    const name = textOf(node, "container_name");
    if (name !== undefined) servicesByName.set(name, service);
  }
  return servicesByName;
}

function entriesOf(section: Cursor | undefined): ReadonlyMap<string, Cursor> {
  return section === undefined ? new Map() : listFields(section);
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

/** Reports ports that two services publish. Every host listens on a published port, so only one service can use it. */
function reportPortConflicts(
  specs: readonly ServiceSpec[],
  origins: TranslatedStack["origins"],
  { stack, diagnostics }: StackContext,
): void {
  const owned = specs.flatMap((spec) => spec.ports.map((port, index) => ({ port, index, owner: spec.name })));
  for (const { index, holderIndex } of findPortConflicts(owned.map(({ port }) => port))) {
    const [holder, conflicting] = [owned[holderIndex], owned[index]];
    if (holder === undefined || conflicting === undefined || holder.owner === conflicting.owner) continue;
    const place = findPlace(`ports[${conflicting.index}]`, origins.get(conflicting.owner) ?? new Map());
    const port = describePublishedPort(conflicting.port);
    const message = `port ${port} is already published by service ${unscopedName(stack, holder.owner)}`;
    diagnostics.error(place, message);
  }
}
