import { stat } from "node:fs/promises";
import { PullPolicy, type ServiceSpec } from "@berth/proto";
import type { ServiceBuild } from "../../compose/keys/service-build.js";
import { Diagnostics } from "../../compose/text/diagnostics.js";
import { isRemoteContext } from "../../images/build/build-arguments.js";
import { buildImage } from "../../images/build/build-image.js";
import { findBuilder } from "../../images/build/builder.js";
import { placeOf, planBuilds } from "../../images/build/plan-builds.js";
import { requireLocalImage } from "../../images/local-docker.js";
import { invalidOptionError } from "../../options/parse-options.js";
import type { Cli } from "../../process/cli.js";
import { reportDiagnostics, type StackSpecs } from "./read-specs.js";

export interface BuildOptions {
  /**
   * Whether to build images. Undefined to build all except those that are pulled from a registry because of their
   * `pull_policy`.
   */
  readonly build?: boolean;
  readonly push?: boolean;
  readonly dryRun?: boolean;
  readonly quiet?: boolean;
}

/** Images to send from the local Docker daemon to nodes: from the name in the spec to the local name. */
export type BuiltImages = ReadonlyMap<string, string>;

/**
 * Builds the images of the services with `build`, and returns the images that are not in a registry.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID with all settings that the builder does not support, BERTH_ENGINE_FAILED if
 *   a build fails
 */
export async function buildServices(
  cli: Cli,
  { builds, fileNames }: Pick<StackSpecs, "builds" | "fileNames">,
  options: BuildOptions,
): Promise<BuiltImages> {
  const { push = false, dryRun = false, quiet = false } = options;
  if (push && options.build === false) {
    throw invalidOptionError("--push", "cannot be combined with --no-build");
  }
  if (options.build === false) return existingImages(cli, builds, dryRun);
  const selectedBuilds = builds.filter(({ prefersRegistry }) => options.build || !prefersRegistry);
  if (selectedBuilds.length === 0) return new Map();
  if (dryRun) {
    if (!quiet) cli.stderr.write(dryRunNote(selectedBuilds));
    return push ? new Map() : new Map(selectedBuilds.map(({ image }) => [image, image]));
  }
  const target = { builder: await findBuilder(cli), push };
  const diagnostics = new Diagnostics();
  const planned = planBuilds(selectedBuilds, target, diagnostics);
  await reportMissingContexts(selectedBuilds, diagnostics);
  const consequence = "; nothing was built or deployed";
  reportDiagnostics(cli, diagnostics.sorted(), { fileNames, consequence, quiet });
  const built = new Map<string, string>();
  for (const build of planned) {
    const id = await buildImage(cli, build, target, quiet ? undefined : cli.stderr);
    if (!push) for (const name of build.names) built.set(name, id);
  }
  return built;
}

/** Returns specs whose nodes get the built images from the cluster, and never from a registry. */
export function withBuiltImages(specs: readonly ServiceSpec[], built: BuiltImages): readonly ServiceSpec[] {
  return specs.map((spec) => {
    const { task } = spec;
    if (task?.container === undefined || !built.has(task.container.image)) return spec;
    return { ...spec, task: { ...task, container: { ...task.container, pullPolicy: PullPolicy.MISSING } } };
  });
}

/** Returns the images that a deployment without builds expects from earlier builds. */
async function existingImages(
  cli: Cli,
  builds: readonly ServiceBuild[],
  isDryRun: boolean,
): Promise<BuiltImages> {
  const names = builds.filter(({ hasImageName }) => !hasImageName).map(({ image }) => image);
  if (!isDryRun) for (const name of names) await requireLocalImage(cli, name);
  return new Map(names.map((name) => [name, name]));
}

function dryRunNote(builds: readonly ServiceBuild[]): string {
  const images = [...new Set(builds.map(({ image }) => image))].join(", ");
  return `note: a dry run builds nothing; the plan assumes the images of the local Docker daemon: ${images}\n`;
}

async function reportMissingContexts(
  builds: readonly ServiceBuild[],
  diagnostics: Diagnostics,
): Promise<void> {
  for (const build of builds) {
    const { context } = build.settings;
    if (isRemoteContext(context)) continue;
    const stats = await stat(context).catch(() => undefined);
    if (stats?.isDirectory()) continue;
    const problem = stats === undefined ? "does not exist" : "is not a directory";
    diagnostics.error(placeOf(build, "context"), `the build context ${context} ${problem}`);
  }
}
