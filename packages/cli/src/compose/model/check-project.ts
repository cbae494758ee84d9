import { isIP } from "node:net";
import type { Place } from "../text/diagnostics.js";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, listFields, readItems } from "../tree/cursor.js";
import { childOf, isNull, type Node, textOf } from "../tree/node.js";
import { type DependencyEdge, reportCycles } from "./report-cycles.js";

/** The services and resources of a project, to which services can refer. */
interface Declarations {
  readonly services: ReadonlyMap<string, Cursor>;
  readonly disabled: ReadonlyMap<string, readonly string[]>;
  readonly networks: ReadonlyMap<string, Cursor>;
  readonly volumes: ReadonlyMap<string, Cursor>;
  readonly secrets: ReadonlyMap<string, Cursor>;
  readonly configs: ReadonlyMap<string, Cursor>;
  readonly models: ReadonlyMap<string, Cursor>;
}

/** Reports references to undeclared resources, mutually exclusive keys, and dependency cycles. */
export function checkProject(root: Cursor, disabled: ReadonlyMap<string, readonly string[]>): void {
  const section = (name: string): ReadonlyMap<string, Cursor> => {
    const cursor = listFields(root).get(name);
    return cursor === undefined ? new Map() : listFields(cursor);
  };
  const declared: Declarations = {
    services: section("services"),
    disabled,
    networks: section("networks"),
    volumes: section("volumes"),
    secrets: section("secrets"),
    configs: section("configs"),
    models: section("models"),
  };
  for (const [name, service] of declared.services) checkService(name, service, declared);
  reportSharedNames(declared.services);
  for (const secret of declared.secrets.values()) checkFile(secret, ["file", "environment"]);
  for (const config of declared.configs.values()) checkFile(config, ["file", "environment", "content"]);
  for (const volume of declared.volumes.values()) checkExternal(volume);
  reportCycles(dependencyEdges(declared.services), root.diagnostics);
}

function checkService(name: string, service: Cursor, declared: Declarations): void {
  const keys = listFields(service);
  checkImage(service, keys);
  checkNetworks(keys, declared);
  checkDependencies(name, keys, declared);
  checkMounts(keys, declared);
  checkFileMounts(keys, declared);
  checkHealthTest(keys);
  checkReplicas(keys);
  checkResources(keys);
  checkBuild(keys, declared);
  checkModels(keys, declared);
  checkPortAddresses(keys);
  checkDeviceRequests(keys);
}

/** Reports services whose containers have the same name. */
function reportSharedNames(services: ReadonlyMap<string, Cursor>): void {
  const holders = new Map<string, string>();
  for (const [service, cursor] of services) {
    const name = listFields(cursor).get("container_name");
    if (name === undefined) continue;
    const holder = holders.get(textAt(name));
    if (holder !== undefined) {
      name.diagnostics.error(name, `the container_name ${textAt(name)} is already used by service ${holder}`);
    }
    holders.set(textAt(name), service);
  }
}

function checkImage(service: Cursor, keys: ReadonlyMap<string, Cursor>): void {
  const hasImage = (textOf(service.node, "image") ?? "") !== "";
  if (hasImage || keys.has("build") || keys.has("provider")) return;
  const isReported = ["image", "extends"].some((key) =>
    service.diagnostics.hasErrorUnder(`${service.path}.${key}`),
  );
  if (isReported) return;
  service.diagnostics.error(keys.get("image") ?? keyPlace(service), "the service has no image");
}

function checkNetworks(keys: ReadonlyMap<string, Cursor>, { networks, services }: Declarations): void {
  const cursor = keys.get("networks");
  const mode = keys.get("network_mode");
  if (cursor !== undefined && mode !== undefined && listFields(cursor).size > 0) {
    cursor.diagnostics.error(keyPlace(cursor), "network_mode and networks are mutually exclusive");
  }
  for (const [key, reference] of cursor === undefined ? [] : listFields(cursor)) {
    if (networks.has(key)) continue;
    const message = `undefined network ${JSON.stringify(key)}${didYouMean(key, networks.keys())}`;
    reference.diagnostics.error(keyPlace(reference), message);
  }
  const [, shared] = /^service:(.*)$/.exec(mode === undefined ? "" : textAt(mode)) ?? [];
  if (mode !== undefined && shared !== undefined && !services.has(shared)) {
    const hint = didYouMean(shared, services.keys());
    mode.diagnostics.error(mode, `undefined service ${JSON.stringify(shared)}${hint}`);
  }
}

function checkDependencies(
  name: string,
  keys: ReadonlyMap<string, Cursor>,
  { services, disabled }: Declarations,
): void {
  const cursor = keys.get("depends_on");
  for (const [service, reference] of cursor === undefined ? [] : listFields(cursor)) {
    const profiles = disabled.get(service);
    const required = childOf(reference.node, "required");
    const isOptional = required?.kind === "scalar" && required.value === false;
    if (services.has(service) || (profiles !== undefined && isOptional)) continue;
    const message =
      profiles === undefined
        ? `undefined service ${JSON.stringify(service)}${didYouMean(service, services.keys())}`
        : `service ${JSON.stringify(service)} is disabled; use --profile ${profiles.join(" or ")}, or set required: false`;
    // A dependency of a service on itself is a cycle, which is reported later.
    if (service === name) continue;
    // Implied dependencies, for example from links, are not written under depends_on.
    const path = reference.node.isImplied ? reference.path.replace(/\.depends_on\..*$/, "") : reference.path;
    reference.diagnostics.error({ position: reference.keyPosition, path }, message);
  }
}

function checkMounts(keys: ReadonlyMap<string, Cursor>, { volumes }: Declarations): void {
  const targets = new Map<string, string>();
  for (const item of itemsAt(keys, "volumes")) {
    const source = textOf(item.node, "source");
    const type = textOf(item.node, "type");
    if (type === "bind" && source === undefined) {
      item.diagnostics.error(item, "the bind mount has no source; set a path on the node");
    }
    if (type === "volume" && source !== undefined && source !== "" && !volumes.has(source)) {
      const hint =
        didYouMean(source, volumes.keys()) ||
        `; declare it under the top-level volumes, or use ./${source} for a directory`;
      item.diagnostics.error(item, `undefined volume ${JSON.stringify(source)}${hint}`);
    }
    reportSameTarget(item, textOf(item.node, "target") ?? "", targets);
  }
  for (const item of itemsAt(keys, "tmpfs")) {
    reportSameTarget(item, textAt(item).split(":")[0] ?? "", targets);
  }
}

function reportSameTarget(item: Cursor, target: string, targets: Map<string, string>): void {
  const firstUser = targets.get(target);
  if (firstUser !== undefined) {
    item.diagnostics.error(item, `${target} is already the target of ${firstUser}`);
  }
  targets.set(target, item.path);
}

function checkFileMounts(keys: ReadonlyMap<string, Cursor>, { secrets, configs }: Declarations): void {
  const build = keys.get("build");
  const buildSecrets = build === undefined ? [] : itemsAt(listFields(build), "secrets");
  const references = [
    { kind: "secret", items: [...itemsAt(keys, "secrets"), ...buildSecrets], known: secrets },
    { kind: "config", items: itemsAt(keys, "configs"), known: configs },
  ];
  for (const { kind, items, known } of references) {
    for (const item of items) {
      const source = textOf(item.node, "source");
      if (source === undefined) {
        item.diagnostics.error(item, `the ${kind} has no source`);
      } else if (!known.has(source)) {
        const hint = didYouMean(source, known.keys()) || `; declare it under the top-level ${kind}s`;
        item.diagnostics.error(item, `undefined ${kind} ${JSON.stringify(source)}${hint}`);
      }
    }
  }
}

function checkHealthTest(keys: ReadonlyMap<string, Cursor>): void {
  const healthcheck = keys.get("healthcheck");
  const test = healthcheck === undefined ? undefined : listFields(healthcheck).get("test");
  const [first] = test?.node.kind === "list" ? test.node.items : [];
  if (test === undefined || first?.kind !== "scalar" || /^(?:CMD|CMD-SHELL|NONE)$/.test(first.text)) return;
  const message = `the first item must be CMD, CMD-SHELL or NONE, not ${JSON.stringify(first.text)}`;
  test.diagnostics.error(test, message);
}

/** Reports numbers of replicas that are negative, differ, or conflict with `container_name`. */
function checkReplicas(keys: ReadonlyMap<string, Cursor>): void {
  const scale = keys.get("scale");
  const deploy = keys.get("deploy");
  const replicas = deploy === undefined ? undefined : listFields(deploy).get("replicas");
  for (const count of [scale, replicas]) {
    if (count?.node.kind === "scalar" && Number(count.node.value) < 0) {
      count.diagnostics.error(count, `${count.node.text} is less than 0`);
    }
  }
  if (scale !== undefined && replicas !== undefined && textAt(scale) !== textAt(replicas)) {
    const message = `${textAt(replicas)} replicas conflict with scale: ${textAt(scale)}`;
    replicas.diagnostics.error(replicas, message);
  }
  const name = keys.get("container_name");
  const count = scale ?? replicas;
  if (name !== undefined && count !== undefined && Number(textAt(count)) > 1) {
    const message = `${textAt(count)} replicas cannot share one container_name; remove it`;
    name.diagnostics.error(keyPlace(name), message);
  }
}

/** Reports limits and reservations that the older keys and `deploy` set to different values. */
function checkResources(keys: ReadonlyMap<string, Cursor>): void {
  const resources = childOf(keys.get("deploy")?.node, "resources");
  const limits = childOf(resources, "limits");
  const reservations = childOf(resources, "reservations");
  reportDifferent(keys.get("cpus"), limits, "cpus", "deploy.resources.limits.cpus");
  reportDifferent(keys.get("mem_limit"), limits, "memory", "deploy.resources.limits.memory");
  reportDifferent(keys.get("pids_limit"), limits, "pids", "deploy.resources.limits.pids");
  const reservation = "deploy.resources.reservations.memory";
  reportDifferent(keys.get("mem_reservation"), reservations, "memory", reservation);
}

function reportDifferent(
  cursor: Cursor | undefined,
  resources: Node | undefined,
  key: string,
  path: string,
): void {
  if (cursor === undefined || resources === undefined) return;
  const other = childOf(resources, key);
  const value = other?.kind === "scalar" ? String(other.value) : undefined;
  if (value === textAt(cursor)) return;
  cursor.diagnostics.error(cursor, `${path} is ${value ?? "not set"}; set both to the same value`);
}

function checkBuild(keys: ReadonlyMap<string, Cursor>, { services }: Declarations): void {
  const build = keys.get("build");
  if (build === undefined) return;
  const fields = listFields(build);
  if (fields.has("dockerfile") && fields.has("dockerfile_inline")) {
    const message = "dockerfile and dockerfile_inline are mutually exclusive";
    build.diagnostics.error(keyPlace(fields.get("dockerfile_inline") ?? build), message);
  }
  const platforms = itemsAt(fields, "platforms").map(textAt);
  const platform = keys.get("platform");
  if (platform !== undefined && platforms.length > 0 && !platforms.includes(textAt(platform))) {
    const message = `${textAt(platform)} is missing from build.platforms; add it`;
    platform.diagnostics.error(platform, message);
  }
  const contexts = fields.get("additional_contexts");
  for (const context of contexts === undefined ? [] : listFields(contexts).values()) {
    const [, service] = /^service:(.*)$/.exec(textAt(context)) ?? [];
    if (service === undefined || childOf(services.get(service)?.node, "build") !== undefined) continue;
    context.diagnostics.error(context, `${JSON.stringify(service)} is not a service with build`);
  }
}

function checkModels(keys: ReadonlyMap<string, Cursor>, { models }: Declarations): void {
  const references = keys.get("models");
  for (const [key, reference] of references === undefined ? [] : listFields(references)) {
    if (models.has(key)) continue;
    const message = `undefined model ${JSON.stringify(key)}${didYouMean(key, models.keys())}`;
    reference.diagnostics.error(keyPlace(reference), message);
  }
}

function checkPortAddresses(keys: ReadonlyMap<string, Cursor>): void {
  for (const port of itemsAt(keys, "ports")) {
    const address = textOf(port.node, "host_ip");
    if (address !== undefined && isIP(address) === 0) {
      port.diagnostics.error(port, `${JSON.stringify(address)} is not an IP address`);
    }
  }
}

/** Checks the requests for devices in `gpus` and `deploy.resources.reservations.devices`. */
function checkDeviceRequests(keys: ReadonlyMap<string, Cursor>): void {
  const reservations = fieldAt(fieldAt(keys.get("deploy"), "resources"), "reservations");
  const devices = reservations === undefined ? [] : itemsAt(listFields(reservations), "devices");
  for (const request of [...itemsAt(keys, "gpus"), ...devices]) {
    const fields = listFields(request);
    if (fields.has("count") && fields.has("device_ids")) {
      request.diagnostics.error(request, "count and device_ids are mutually exclusive");
    }
  }
}

/** Reports a secret or config without a source, or with several. */
function checkFile(cursor: Cursor, sources: readonly string[]): void {
  const keys = listFields(cursor);
  const [, ...others] = sources.filter((key) => keys.has(key));
  for (const other of others) {
    const place: Place = keyPlace(keys.get(other) ?? cursor);
    cursor.diagnostics.error(place, `${joinWords(sources)} are mutually exclusive`);
  }
  const hasSource = sources.some((key) => keys.has(key));
  if (hasSource || keys.has("external")) return;
  if (cursor.diagnostics.hasErrorUnder(cursor.path)) return;
  const message = `no source; set ${sources.join(", ")} or external: true`;
  cursor.diagnostics.error(keyPlace(cursor), message);
}

/** Reports settings of an external volume, which can have none. */
function checkExternal(cursor: Cursor): void {
  const external = childOf(cursor.node, "external");
  if (external?.kind !== "scalar" || external.value !== true) return;
  for (const [key, field] of listFields(cursor)) {
    if (["name", "external"].includes(key) || key.startsWith("x-") || isNull(field.node)) continue;
    field.diagnostics.error(keyPlace(field), `an external volume cannot have ${key}`);
  }
}

/** Joins words as in `a, b and c`. */
function joinWords(words: readonly string[]): string {
  return words.join(", ").replace(/, (?=[^,]*$)/, " and ");
}

function dependencyEdges(
  services: ReadonlyMap<string, Cursor>,
): ReadonlyMap<string, readonly DependencyEdge[]> {
  const edges = [...services].map(([from, service]) => {
    const dependencies = listFields(service).get("depends_on");
    const references = dependencies === undefined ? [] : [...listFields(dependencies)];
    return [from, references.map(([to, reference]) => ({ from, to, place: keyPlace(reference) }))] as const;
  });
  return new Map(edges);
}

function fieldAt(cursor: Cursor | undefined, key: string): Cursor | undefined {
  return cursor && listFields(cursor).get(key);
}

/** Returns the items of the list at a key. Empty if there is no list. */
function itemsAt(keys: ReadonlyMap<string, Cursor>, key: string): readonly Cursor[] {
  const cursor = keys.get(key);
  return cursor?.node.kind === "list" ? (readItems(cursor) ?? []) : [];
}

/** Returns the value of a scalar as text. Empty for other nodes. */
function textAt({ node }: Cursor): string {
  return node.kind === "scalar" ? String(node.value ?? "") : "";
}
