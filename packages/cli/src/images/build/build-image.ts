import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import type { Cli, Terminal } from "../../process/cli.js";
import { runDocker } from "../docker-process.js";
import { buildArguments } from "./build-arguments.js";
import type { BuilderKind } from "./builder.js";
import type { BuildTarget, PlannedBuild } from "./plan-builds.js";

/**
 * Builds an image with the builder's cache, and returns its ID. Pushes the image to its registries if the target
 * requires it.
 *
 * @param terminal where to print the output of the builder; undefined to print nothing
 * @throws BerthError BERTH_ENGINE_FAILED with Docker's message
 */
export async function buildImage(
  cli: Pick<Cli, "env" | "signal">,
  build: PlannedBuild,
  { builder, push }: BuildTarget,
  terminal: Terminal | undefined,
): Promise<string> {
  const { names, services, settings } = build;
  const owners = `${services.length === 1 ? "service" : "services"} ${services.join(", ")}`;
  const description = `image ${names[0]} of ${owners}`;
  terminal?.write(`Building ${description}\n`);
  // Docker redraws progress lines with carriage returns. Here, each one becomes a line of its own.
  const onOutput = (text: string): void => terminal?.write(text.replaceAll(/\r+\n?/g, "\n"));
  const directory = await mkdtemp(join(tmpdir(), "berth-build-"));
  try {
    const idFile = join(directory, "id");
    const args = buildArguments(builder.kind, { ...build, push, idFile });
    const { exitCode, message } = await runDocker(cli, args, {
      input: settings.dockerfileInline,
      env: environmentOf(builder.kind),
      onOutput,
    });
    if (exitCode !== 0) throw dockerError(`${description} was not built`, message);
    if (push && builder.kind === "legacy") await pushToRegistry(cli, names, onOutput);
    return (await readFile(idFile, "utf8")).trim();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Disables BuildKit for the legacy builder: some Docker releases prefer BuildKit and fail without the Buildx plugin.
 */
function environmentOf(kind: BuilderKind): Readonly<Record<string, string>> {
  return kind === "legacy" ? { DOCKER_BUILDKIT: "0" } : {};
}

async function pushToRegistry(
  cli: Pick<Cli, "env" | "signal">,
  names: readonly string[],
  onOutput: (text: string) => void,
): Promise<void> {
  for (const name of names) {
    const { exitCode, message } = await runDocker(cli, ["image", "push", name], { onOutput });
    if (exitCode !== 0) throw dockerError(`image ${name} was not pushed`, message);
  }
}

function dockerError(failure: string, message: string): BerthError {
  const reason = message === "" ? "docker failed without a message" : message;
  return new BerthError({ code: "BERTH_ENGINE_FAILED", message: `${failure}: ${reason}` });
}
