import { isAbsolute, join } from "node:path";
import type { BuildSecret, BuildSettings } from "../../compose/keys/service-build.js";
import type { BuilderKind } from "./builder.js";

/** One run of the builder. */
export interface ImageBuild {
  /** Names of the image. */
  readonly names: readonly string[];
  /** Platforms of the image. Empty for the platform of the Docker daemon. */
  readonly platforms: readonly string[];
  /** Additional contexts that refer to services are already replaced with `docker-image://IMAGE`. */
  readonly settings: BuildSettings;
  /** Let BuildKit push the image to its registry instead of loading it into the local Docker daemon. */
  readonly push: boolean;
  /** File for the ID of the image. */
  readonly idFile: string;
}

/** Returns the arguments of `docker` that build an image. An inline Dockerfile is passed on standard input. */
export function buildArguments(kind: BuilderKind, build: ImageBuild): readonly string[] {
  const { settings, names, platforms, idFile } = build;
  const { context } = settings;
  return [
    ...(kind === "buildkit" ? ["buildx", "build"] : ["image", "build"]),
    ...flags("--tag", names),
    ...flags("--iidfile", [idFile]),
    ...flags("--file", [dockerfileArgument(settings)]),
    ...flags("--build-arg", pairs(settings.args)),
    ...flags("--label", pairs(settings.labels)),
    ...flags("--target", text(settings.target)),
    ...flags("--network", text(settings.network)),
    ...flags("--platform", text(platforms.join(","))),
    ...flags("--shm-size", settings.shmSizeBytes === 0 ? [] : [String(settings.shmSizeBytes)]),
    ...flags("--add-host", settings.extraHosts),
    ...flags(
      "--ulimit",
      settings.ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`),
    ),
    ...(settings.noCache ? ["--no-cache"] : []),
    ...(settings.pull ? ["--pull"] : []),
    ...(kind === "buildkit" ? buildKitArguments(build) : legacyArguments(settings)),
    // A context can start with a hyphen.
    "--",
    context,
  ];
}

/** Returns whether a cache source requires BuildKit, such as "type=gha". The alternative is an image. */
export function isBuildKitCache(source: string): boolean {
  return source.includes("=");
}

/** Returns whether the builder fetches the context, because it is not a directory of this machine. */
export function isRemoteContext(context: string): boolean {
  return !isAbsolute(context);
}

function legacyArguments({ cacheFrom }: BuildSettings): readonly string[] {
  return flags(
    "--cache-from",
    cacheFrom.filter((source) => !isBuildKitCache(source)),
  );
}

function buildKitArguments({ settings, push }: ImageBuild): readonly string[] {
  const entitlements = settings.privileged
    ? [...settings.entitlements, "security.insecure"]
    : settings.entitlements;
  return [
    ...flags("--cache-from", settings.cacheFrom),
    ...flags("--cache-to", settings.cacheTo),
    ...flags("--no-cache-filter", text(settings.noCacheFilter.join(","))),
    ...flags("--build-context", pairs(settings.additionalContexts)),
    ...flags("--secret", settings.secrets.map(secretArgument)),
    ...flags("--ssh", settings.ssh),
    ...flags("--allow", [...new Set(entitlements)]),
    // Only registries keep attestations. In Docker's image store, they would give each build a different ID.
    `--provenance=${push ? settings.provenance || "false" : "false"}`,
    ...(push && settings.sbom !== "" ? [`--sbom=${settings.sbom}`] : []),
    push ? "--push" : "--load",
  ];
}

function dockerfileArgument({ context, dockerfile, dockerfileInline }: BuildSettings): string {
  if (dockerfileInline !== "") return "-";
  return isAbsolute(dockerfile) || isRemoteContext(context) ? dockerfile : join(context, dockerfile);
}

function secretArgument({ id, source }: BuildSecret): string {
  const fields = source.kind === "variable" ? ["type=env", `env=${source.value}`] : [`src=${source.value}`];
  return [`id=${id}`, ...fields].map(csvField).join(",");
}

/** Quotes a field of a comma-separated list as Docker expects it. */
function csvField(field: string): string {
  return /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function flags(name: string, values: readonly string[]): readonly string[] {
  return values.flatMap((value) => [name, value]);
}

function text(value: string): readonly string[] {
  return value === "" ? [] : [value];
}

function pairs(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}
