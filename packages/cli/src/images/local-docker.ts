import { type ExecFileException, execFile, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { BerthError } from "@berth/proto";
import type { Cli } from "../process/cli.js";

/** Timeout of an inspection. */
const INSPECT_TIMEOUT_MS = 30_000;

/** Maximum size of the output of an inspection. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
/** Maximum length of Docker's own message in an error. */
const MAX_MESSAGE_LENGTH = 500;

/** An image in the local Docker daemon. */
export interface LocalImage {
  readonly id: string;
  /** "linux/amd64" */
  readonly platform: string;
  /** Digests of the layers as uncompressed tar archives, in order. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  /** References of the image in registries: "name@sha256:…". */
  readonly repoDigests: readonly string[];
}

/**
 * Returns the images that the local Docker daemon has, by name. Runs the `docker` program, which applies the user's
 * contexts and $DOCKER_HOST. Returns none if Docker is not installed or not running.
 *
 * @throws the signal's reason
 */
export async function findLocalImages(
  cli: Pick<Cli, "env" | "signal">,
  names: readonly string[],
): Promise<ReadonlyMap<string, LocalImage>> {
  const localImages = new Map<string, LocalImage>();
  for (const name of names) {
    const image = await inspectImage(cli, name);
    if (image.kind === "unavailable") return localImages;
    if (image.kind === "found") localImages.set(name, image.image);
  }
  return localImages;
}

/**
 * Returns an image of the local Docker daemon.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_ENGINE_UNAVAILABLE
 */
export async function requireLocalImage(cli: Pick<Cli, "env" | "signal">, name: string): Promise<LocalImage> {
  const result = await inspectImage(cli, name);
  switch (result.kind) {
    case "found":
      return result.image;
    case "missing":
      throw new BerthError({
        code: "BERTH_NOT_FOUND",
        message: `the local Docker daemon has no image ${name}; build or pull it first`,
      });
    case "unavailable":
      throw new BerthError({ code: "BERTH_ENGINE_UNAVAILABLE", message: result.reason });
  }
}

/** An archive that `docker save` writes. */
export interface SavedArchive {
  readonly archive: Readable;
  /** Resolves when Docker has written the whole archive. Rejects with Docker's message. */
  readonly done: Promise<void>;
}

/** Saves an image of the local Docker daemon. The signal ends `docker save`. */
export function saveLocalImage({ env }: Pick<Cli, "env">, name: string, signal: AbortSignal): SavedArchive {
  const child = spawn("docker", ["image", "save", name], {
    env: { ...env },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
  });
  let message = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    message = `${message}${text}`.slice(0, MAX_MESSAGE_LENGTH);
  });
  const done = new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) {
        resolve();
      } else {
        reject(dockerFailedError(`docker image save ${name}`, message));
      }
    });
  });
  done.catch(() => {});
  return { archive: child.stdout, done };
}

type Inspection =
  | { readonly kind: "found"; readonly image: LocalImage }
  | { readonly kind: "missing" }
  | { readonly kind: "unavailable"; readonly reason: string };

function inspectImage({ env, signal }: Pick<Cli, "env" | "signal">, name: string): Promise<Inspection> {
  // Without PATH, the system would search its own default path.
  if (env.PATH === undefined) return Promise.resolve({ kind: "unavailable", reason: "PATH is not set" });
  return new Promise((resolve, reject) => {
    execFile(
      "docker",
      ["image", "inspect", name],
      {
        env: { ...env },
        timeout: INSPECT_TIMEOUT_MS,
        maxBuffer: MAX_OUTPUT_BYTES,
        signal,
        killSignal: "SIGKILL",
      },
      (error, stdout, stderr) => {
        if (signal.aborted) {
          reject(signal.reason);
        } else if (error === null) {
          resolve(parseInspection(stdout));
        } else {
          resolve(explainFailure(error, stderr));
        }
      },
    );
  });
}

function explainFailure(error: ExecFileException, stderr: string): Inspection {
  if (error.code === "ENOENT") {
    return { kind: "unavailable", reason: "docker is not installed on this machine" };
  }
  if (/no such image/i.test(stderr)) return { kind: "missing" };
  return {
    kind: "unavailable",
    reason: dockerFailedError("docker image inspect", stderr || error.message).message,
  };
}

function parseInspection(stdout: string): Inspection {
  const [json] = asList(JSON.parse(stdout));
  const { Id, Os, Architecture, Variant, RootFS, Size, RepoDigests } = asRecord(json);
  const layers = asList(asRecord(RootFS).Layers).map(String);
  const platform = [Os, Architecture, Variant]
    .filter((part) => typeof part === "string" && part !== "")
    .join("/");
  const image = {
    id: String(Id),
    platform,
    layers,
    sizeBytes: Number(Size) || 0,
    repoDigests: asList(RepoDigests).map(String),
  };
  return { kind: "found", image };
}

function dockerFailedError(command: string, message: string): BerthError {
  const text = message.trim().slice(0, MAX_MESSAGE_LENGTH) || "it failed without a message";
  return new BerthError({ code: "BERTH_ENGINE_FAILED", message: `${command}: ${text}` });
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
