import type { BuildSettings, ServiceBuild } from "../../compose/keys/service-build.js";
import type { Diagnostics, Place } from "../../compose/text/diagnostics.js";
import { isBuildKitCache } from "./build-arguments.js";
import type { Builder } from "./builder.js";

export interface BuildTarget {
  readonly builder: Builder;
  /** Push the images to their registries instead of sending them to nodes. */
  readonly push: boolean;
}

/** An image to build. Services with the same settings share it. */
export interface PlannedBuild {
  readonly services: readonly string[];
  readonly names: readonly string[];
  /** Platforms of the image. Empty for the platform of the Docker daemon. */
  readonly platforms: readonly string[];
  readonly settings: BuildSettings;
}

const SERVICE_CONTEXT = "service:";
/** Keys that change the image and require BuildKit. */
const BUILDKIT_KEYS: readonly (readonly [key: string, isSet: (settings: BuildSettings) => boolean])[] = [
  ["additional_contexts", ({ additionalContexts }) => Object.keys(additionalContexts).length > 0],
  ["secrets", ({ secrets }) => secrets.length > 0],
  ["ssh", ({ ssh }) => ssh.length > 0],
  ["privileged", ({ privileged }) => privileged],
  ["entitlements", ({ entitlements }) => entitlements.length > 0],
  ["no_cache_filter", ({ noCacheFilter }) => noCacheFilter.length > 0],
];
const UPGRADE_BUILDKIT = "upgrade Docker to 23.0 or later, or remove the key";
const INSTALL_BUILDX = "install the Docker Buildx plugin, or remove the key";

/** Plans the builds in dependency order. Reports settings that the builder does not support. */
export function planBuilds(
  builds: readonly ServiceBuild[],
  target: BuildTarget,
  diagnostics: Diagnostics,
): readonly PlannedBuild[] {
  const planned = new Map<string, PlannedBuild>();
  const owners = new Map<string, { readonly service: string; readonly key: string }>();
  for (const build of inOrder(builds, diagnostics)) {
    reportUnsupported(build, target, diagnostics);
    const { service, image } = build;
    const { tags, ...settings } = { ...build.settings, additionalContexts: imageContexts(build, builds) };
    const platforms = selectPlatforms(build, target, diagnostics);
    const key = JSON.stringify([settings, platforms]);
    const owner = owners.get(image) ?? { service, key };
    if (owner.key !== key) {
      const message = `service ${owner.service} builds the image ${image} with different settings; set a different image`;
      diagnostics.error(placeOf(build, ""), message);
    }
    owners.set(image, owner);
    const identical = planned.get(key);
    const names = [...new Set([...(identical?.names ?? []), image, ...tags])];
    const services = [...(identical?.services ?? []), service];
    planned.set(key, { services, names, platforms, settings: { ...settings, tags: [] } });
  }
  return [...planned.values()];
}

/** Returns the place of a key of `build`, or of `build` itself. */
export function placeOf({ service, places }: ServiceBuild, key: string): Place {
  const place = places.get(key) ?? places.get("");
  if (place === undefined) throw new Error(`the build of service ${service} has no place`);
  return place;
}

/** Returns the builds in dependency order: each one follows the builds whose images it uses. */
function inOrder(builds: readonly ServiceBuild[], diagnostics: Diagnostics): readonly ServiceBuild[] {
  const ordered = new Set<ServiceBuild>();
  const visit = (build: ServiceBuild, users: readonly ServiceBuild[]): void => {
    if (ordered.has(build)) return;
    for (const service of usedServices(build)) {
      const used = builds.find((other) => other.service === service);
      const place = placeOf(build, "additional_contexts");
      if (used === undefined) {
        diagnostics.error(place, `the image of service ${service} is not built; enable the service`);
      } else if (used === build || users.includes(used)) {
        diagnostics.error(
          place,
          `the image of service ${service} is itself built from this image; remove the context`,
        );
      } else {
        visit(used, [...users, build]);
      }
    }
    ordered.add(build);
  };
  for (const build of builds) visit(build, []);
  return [...ordered];
}

function usedServices({ settings }: ServiceBuild): readonly string[] {
  return Object.values(settings.additionalContexts)
    .filter((context) => context.startsWith(SERVICE_CONTEXT))
    .map((context) => context.slice(SERVICE_CONTEXT.length));
}

/** Returns the additional contexts, with references to services replaced by their images. */
function imageContexts(
  { settings }: ServiceBuild,
  builds: readonly ServiceBuild[],
): Readonly<Record<string, string>> {
  const contexts = Object.entries(settings.additionalContexts).map(([name, context]) => {
    const used = builds.find(({ service }) => context === `${SERVICE_CONTEXT}${service}`);
    return [name, used === undefined ? context : `docker-image://${used.image}`] as const;
  });
  return Object.fromEntries(contexts);
}

function reportUnsupported(
  build: ServiceBuild,
  { builder, push }: BuildTarget,
  diagnostics: Diagnostics,
): void {
  const { settings } = build;
  if (push && !build.hasImageName) {
    diagnostics.error(placeOf(build, ""), "--push requires the name of the image in its registry; set image");
  }
  for (const [key, value] of [
    ["provenance", settings.provenance],
    ["sbom", settings.sbom],
  ] as const) {
    if (value === "" || value === "false" || (push && builder.kind === "buildkit")) continue;
    const requirement = push ? "BuildKit creates" : "registries keep";
    diagnostics.warn(placeOf(build, key), `ignored: only ${requirement} attestations`);
  }
  if (builder.kind === "buildkit") {
    if (builder.hasNamedContexts || Object.keys(settings.additionalContexts).length === 0) return;
    const message =
      "the local Docker daemon cannot build with additional_contexts, which requires BuildKit 0.10";
    diagnostics.error(placeOf(build, "additional_contexts"), `${message}; ${UPGRADE_BUILDKIT}`);
    return;
  }
  for (const [key, isSet] of BUILDKIT_KEYS) {
    if (!isSet(settings)) continue;
    const message = `the local Docker daemon cannot build with ${key}, which requires BuildKit; ${INSTALL_BUILDX}`;
    diagnostics.error(placeOf(build, key), message);
  }
  const ignored =
    "ignored: this type of cache requires BuildKit, which the local Docker daemon does not have";
  if (settings.cacheTo.length > 0) diagnostics.warn(placeOf(build, "cache_to"), ignored);
  if (settings.cacheFrom.some(isBuildKitCache)) diagnostics.warn(placeOf(build, "cache_from"), ignored);
}

/** Selects the platforms to build for. An image that is not pushed to a registry has only one. */
function selectPlatforms(
  build: ServiceBuild,
  { builder, push }: BuildTarget,
  diagnostics: Diagnostics,
): readonly string[] {
  const { platforms } = build.settings;
  if (push && builder.kind === "buildkit" && platforms.length > 0) return platforms;
  if (build.platform !== "") return [build.platform];
  if (platforms.length <= 1) return platforms;
  const place = placeOf(build, "platforms");
  const solution = push ? "install the Docker Buildx plugin" : "use --push to build for all";
  if (platforms.some((platform) => `${platform}/`.startsWith(`${builder.platform}/`))) {
    diagnostics.warn(place, `the image is built for ${builder.platform} only; ${solution}`);
    return [];
  }
  const message = `the local Docker daemon builds for ${builder.platform}, which is not one of the platforms; ${solution}, or set the platform of the service`;
  diagnostics.error(place, message);
  return [];
}
