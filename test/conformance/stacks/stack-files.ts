import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { stringify } from "yaml";
import { type Program, programFor, STAND_IN, tagOf } from "./programs.js";
import { type DeployableStack, neighborsOf, type StackService } from "./stack.js";

/** Content of files that the corpus lacks and no program reads. */
const STAND_IN_CONTENT = "STAND=in\n";

/**
 * Copies a stack to a directory and adds what the corpus lacks: the files that the services mount, and an override file
 * that replaces the images. Returns the paths of the Compose files.
 */
export function copyStack(
  { file, services, missingFiles }: DeployableStack,
  directory: string,
): readonly string[] {
  // Copy the corpus, because hosts create missing bind mount paths beside the Compose file.
  cpSync(dirname(file), directory, { recursive: true });
  const contents = new Map(missingFiles.map((path) => [path, STAND_IN_CONTENT]));
  for (const [path, content] of configurations(services)) contents.set(path, content);
  for (const [path, content] of contents) {
    const target = join(directory, path);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
  }
  const override = join(directory, "stand-in.yaml");
  writeFileSync(override, stringify({ services: Object.fromEntries(services.map(overrideOf)) }));
  return [join(directory, basename(file)), override];
}

/** Returns the configuration files that programs read, by their paths in the stack's directory. */
function configurations(services: readonly StackService[]): readonly (readonly [string, string])[] {
  return services.flatMap((service) => {
    const { configuration } = programFor(service.image);
    const context = { service, neighbors: neighborsOf(service, services) };
    return [...service.mounts].flatMap(([target, path]) => {
      const content = configuration?.(target, context);
      return content === undefined ? [] : [[path, content] as const];
    });
  });
}

/** Returns the override of a service: its image and the settings that depend on the image. */
function overrideOf(service: StackService): readonly [string, object] {
  const program = programFor(service.image);
  const healthcheck = { test: ["CMD", "/usr/bin/check", "127.0.0.1"], interval: "1s" };
  const image = {
    image: tagOf(program),
    pull_policy: "missing",
    ...(needsCheck(service, program) ? { healthcheck } : {}),
  };
  // Hosts wait until published ports accept connections.
  const entrypoint = ["/usr/bin/stand-in", ...new Set(service.ports.map(String))];
  // Hosts that themselves run in containers cannot grant privileges.
  const process = { entrypoint, command: [], user: "0", privileged: false };
  return [service.name, program === STAND_IN ? { ...image, ...process } : image];
}

/** Returns whether a service's health check uses a program that the replacement image lacks. */
function needsCheck({ healthProgram }: StackService, { healthPrograms = [] }: Program): boolean {
  return healthProgram !== undefined && !healthPrograms.includes(healthProgram);
}
