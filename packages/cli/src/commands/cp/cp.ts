import { lstat, stat } from "node:fs/promises";
import { posix, resolve } from "node:path";
import { BerthError, type FileStat } from "@berth/proto";
import { extractArchive, packArchive } from "@berth/proto/archive";
import { type ControlClient, withClient } from "../../client/client.js";
import { formatBytes } from "../../output/human.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { archiveRequest, readArchive, statFile, writeArchive } from "./archive-calls.js";
import { type CopyDestination, planCopy, renamedEntry } from "./copy-rules.js";
import { type CopyPath, parseCopyPath } from "./parse-copy-path.js";

export interface CopyOptions extends GlobalOptions {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly quiet?: boolean;
}

type TaskPath = Extract<CopyPath, { kind: "task" }>;

/** Bit of Go's `fs.FileMode` for directories. */
const GO_DIRECTORY = 0x8000_0000;

/** Bit of Go's `fs.FileMode` for symbolic links. */
const GO_SYMLINK = 0x0800_0000;

/** `berth cp TASK:PATH PATH` and `berth cp PATH TASK:PATH` */
export async function copyFiles(cli: Cli, options: CopyOptions, from: string, to: string): Promise<void> {
  const source = parseCopyPath(from);
  const destination = parseCopyPath(to);
  if (source.kind === "task" && destination.kind !== "task") {
    return withClient(cli, options, (client) => copyFrom(cli, client, { options, source, destination }));
  }
  if (source.kind !== "task" && destination.kind === "task") {
    return withClient(cli, options, (client) => copyTo(cli, client, { options, source, destination }));
  }
  const reason =
    source.kind === "task"
      ? "copying between tasks is not supported; copy to a local path first"
      : "neither path names a task; use TASK:PATH for one of them";
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `cannot copy ${from} to ${to}: ${reason}`,
  });
}

interface CopyFromTaskOptions {
  readonly options: CopyOptions;
  readonly source: TaskPath;
  readonly destination: Exclude<CopyPath, TaskPath>;
}

async function copyFrom(
  cli: Cli,
  client: ControlClient,
  { options, source, destination }: CopyFromTaskOptions,
): Promise<void> {
  const { signal } = cli;
  const { target } = source;
  const path = options.followLink ? await followLink(client, source, signal) : source.path;
  const { file, chunks } = await readArchive(client, { target, path }, signal);
  if (destination.kind === "stream") {
    for await (const chunk of chunks) await cli.streams.write("stdout", chunk);
    return;
  }
  // With -L, the copy has the name of the link.
  const plan = planCopy(
    { path, isDirectory: (file.mode & GO_DIRECTORY) !== 0 },
    await localDestination(resolve(cli.cwd, destination.path), destination.path),
  );
  const linkName = baseName(source.path);
  const root = {
    ...plan,
    newRoot: plan.newRoot === plan.root && options.followLink ? linkName : plan.newRoot,
  };
  const bytes = await extractArchive(chunks, {
    directory: plan.directory,
    rename: (name) => renamedEntry(name, root),
    keepOwners: options.archive ?? false,
  });
  report(cli, options, bytes, destination.path);
}

interface CopyToTaskOptions {
  readonly options: CopyOptions;
  readonly source: Exclude<CopyPath, TaskPath>;
  readonly destination: TaskPath;
}

async function copyTo(
  cli: Cli,
  client: ControlClient,
  { options, source, destination }: CopyToTaskOptions,
): Promise<void> {
  const { signal } = cli;
  const { target } = destination;
  const taskTarget = await taskDestination(client, destination, signal);
  let bytes = 0;
  const write = (path: string, input: AsyncIterable<Uint8Array>): Promise<void> => {
    const call = { path, keepTypes: true, keepOwners: options.archive ?? false };
    return writeArchive(client, { start: archiveRequest({ target, writeArchive: call }), input }, signal);
  };
  if (source.kind === "stream") {
    if (taskTarget.kind !== "directory") {
      throw invalidInputError(`the destination ${destination.path} must be a directory for an archive`);
    }
    await write(taskTarget.path, cli.streams.input(signal));
    return;
  }
  const local = resolve(cli.cwd, source.path);
  const stats = await (options.followLink ? stat : lstat)(local);
  const plan = planCopy(
    { path: namedPath(source.path, local), isDirectory: stats.isDirectory() },
    taskTarget,
  );
  const input = packArchive({
    path: local,
    root: plan.newRoot,
    followLink: options.followLink ?? false,
    onFilePacked: (size) => {
      bytes += size;
    },
  });
  await write(plan.directory, input);
  report(cli, options, bytes, `${target}:${destination.path}`);
}

/** Returns the path of the source, or the target of a symbolic link. */
async function followLink(
  client: ControlClient,
  { target, path }: TaskPath,
  signal: AbortSignal,
): Promise<string> {
  const file = await statFile(client, { target, path }, signal);
  return file === undefined || (file.mode & GO_SYMLINK) === 0 ? path : linkTarget(path, file);
}

/** Describes the destination in a container. Docker follows a symbolic link at its end. */
async function taskDestination(
  client: ControlClient,
  { target, path }: TaskPath,
  signal: AbortSignal,
): Promise<CopyDestination> {
  const file = await statFile(client, { target, path }, signal);
  if (file === undefined) return { path, kind: "missing" };
  if ((file.mode & GO_SYMLINK) !== 0) {
    const followed = linkTarget(path, file);
    const linked = await statFile(client, { target, path: followed }, signal);
    if (linked === undefined) return { path: followed, kind: "missing" };
    return { path: followed, kind: (linked.mode & GO_DIRECTORY) === 0 ? "file" : "directory" };
  }
  return { path, kind: (file.mode & GO_DIRECTORY) === 0 ? "file" : "directory" };
}

function linkTarget(path: string, { linkTarget: target }: FileStat): string {
  return posix.isAbsolute(target) ? target : posix.join(posix.dirname(path.replace(/\/+$/, "")), target);
}

async function localDestination(path: string, given: string): Promise<CopyDestination> {
  // A trailing slash matters, and `resolve` removes it.
  const displayedPath = /\/\.?$/.test(given) ? `${path}/` : path;
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return { path: displayedPath, kind: "missing" };
  return { path: displayedPath, kind: stats.isDirectory() ? "directory" : "file" };
}

/** Returns the path whose last segment names the copy. A path that ends in "." stands for a directory's contents. */
function namedPath(given: string, resolved: string): string {
  return /(?:^|\/)\.$/.test(given) ? given : resolved;
}

function baseName(path: string): string {
  return posix.basename(path.replace(/\/+$/, ""));
}

function report(cli: Cli, { quiet, output }: CopyOptions, bytes: number, to: string): void {
  if (!quiet && output !== "json") cli.stderr.write(`Successfully copied ${formatBytes(bytes)} to ${to}\n`);
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
