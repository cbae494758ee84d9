import { BerthError, isBerthError } from "@berth/proto";
import type { Cli } from "../../process/cli.js";
import { runDocker } from "../docker-process.js";
import { hasNamedContexts } from "./buildkit-version.js";

/** Builder of the local Docker daemon: BuildKit through the Buildx plugin, or the legacy builder. */
export type BuilderKind = "buildkit" | "legacy";

export interface Builder {
  readonly kind: BuilderKind;
  /** Platform of the Docker daemon, such as "linux/amd64". */
  readonly platform: string;
  /** Whether the builder knows additional contexts. The legacy builder does not. */
  readonly hasNamedContexts: boolean;
}

/**
 * Returns the builder of the local Docker daemon.
 *
 * @throws BerthError BERTH_ENGINE_UNAVAILABLE if Docker is not installed or does not run
 */
export async function findBuilder(cli: Pick<Cli, "env" | "signal">): Promise<Builder> {
  const format = "{{.Server.Os}}/{{.Server.Arch}}";
  const version = await runDocker(cli, ["version", "--format", format]).catch((error) => {
    throw isBerthError(error, "BERTH_ENGINE_UNAVAILABLE") ? builderUnavailableError(error.message) : error;
  });
  if (version.exitCode !== 0) throw builderUnavailableError(version.message || "docker version failed");
  const platform = version.stdout.trim();
  const buildx = await runDocker(cli, ["buildx", "version"]);
  if (buildx.exitCode !== 0) return { kind: "legacy", platform, hasNamedContexts: false };
  // A builder that cannot be inspected says why when it builds.
  const { stdout } = await runDocker(cli, ["buildx", "inspect"]);
  return { kind: "buildkit", platform, hasNamedContexts: hasNamedContexts(stdout) };
}

function builderUnavailableError(reason: string): BerthError {
  return new BerthError({
    code: "BERTH_ENGINE_UNAVAILABLE",
    message: `cannot build images: ${reason}; start Docker, or use --no-build to deploy existing images`,
  });
}
