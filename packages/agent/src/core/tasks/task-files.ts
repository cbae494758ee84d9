import {
  type AssignedFile,
  type ContainerSpec,
  DEFAULT_FILE_MODE,
  environmentValue,
  environmentValueProblem,
  type FileMount,
  fileKindName,
  variableNameProblem,
} from "@berth/proto";
import type { MountBody } from "../docker/create-body.js";
import { fillTemplate } from "./task-names.js";
import type { Assignment, NodeFacts, TaskView } from "./task-view.js";

// Decides which files a task needs on this host for its container's secrets and configs, and mounts them. Secrets in
// environment variables are set when the container is created.

/** Secrets and configs that the leader has sent, by version ID. */
export type FileContents = ReadonlyMap<string, AssignedFile>;

export interface FilesView {
  /** The contents of secrets and configs, which are in memory only. */
  readonly contents: FileContents;
  /** Path of the directory that contains a directory for each task. It is on a tmpfs. */
  readonly directory: string;
  /** The same for the copies of shipped mounts, on the disk. */
  readonly shippedDirectory: string;
}

/**
 * The files of a task on this host. `unverified`: they may be missing or incomplete, because an earlier run of the agent
 * wrote them, or because writing them failed. `written`: this run of the agent has written or checked all of them.
 */
export type TaskFilesState = "none" | "unverified" | "written";

/** A file of a task. The owner and the group are IDs of the host. */
export interface TaskFile {
  /** Name in the directory of the task. */
  readonly name: string;
  readonly content: Buffer;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** The files of one task. Never logged: a file has the content of a secret. */
export interface TaskFileSet {
  readonly taskId: string;
  readonly files: readonly TaskFile[];
  /** Group of the host that may enter the directory of the task. 0 if only root may. */
  readonly directoryGid: number;
}

const PERMISSION_BITS = 0o777;
/** Maximum ID of a user or group in Linux. -1 means "no change" in system calls. */
const MAX_ID = 2 ** 32 - 2;
/** IDs become names in a file system. */
const SAFE_NAME = /^[A-Za-z0-9_-]{1,64}$/;

type TaskAndSpec = Pick<Assignment, "task" | "spec">;

function mountsOf({ spec }: Pick<Assignment, "spec">): readonly FileMount[] {
  return spec.task?.container?.files ?? [];
}

const isFile = ({ env }: FileMount): boolean => env === "";

function filesOf(assignment: Pick<Assignment, "spec">): readonly FileMount[] {
  return mountsOf(assignment).filter(isFile);
}

/** Returns why this host can never run the task because of its secrets and configs, or undefined if it can. */
export function fileRefusal(
  assignment: TaskAndSpec,
  { node, files }: Pick<TaskView, "node" | "files">,
): string | undefined {
  const mounts = mountsOf(assignment);
  if (mounts.length === 0) return undefined;
  if (node.isolation !== "" && mounts.some(isFile)) {
    return `secrets and configs need Docker on Linux as root: this node has ${node.isolation}`;
  }
  const idProblem = taskIdProblem(assignment.task.id);
  if (idProblem !== undefined) return idProblem;
  for (const mount of mounts) {
    const problem = mountProblem(mount) ?? variableProblem(mount, files.contents);
    if (problem !== undefined) return `${describeFile(mount)}: ${problem}`;
  }
  return undefined;
}

/** Returns why a task ID cannot be the name of a directory, or undefined if it can. */
export function taskIdProblem(taskId: string): string | undefined {
  return SAFE_NAME.test(taskId) ? undefined : "the task ID is not a valid directory name";
}

function mountProblem({ versionId, uid, gid }: FileMount): string | undefined {
  if (versionId === "") return "the leader has not set its version; update the service again";
  if (!SAFE_NAME.test(versionId)) return "its version ID is invalid";
  if (parseId(uid) === undefined) return `invalid uid ${JSON.stringify(uid)}; use a number`;
  if (parseId(gid) === undefined) return `invalid gid ${JSON.stringify(gid)}; use a number`;
  return undefined;
}

function variableProblem({ env, versionId }: FileMount, contents: FileContents): string | undefined {
  if (env === "") return undefined;
  const content = contents.get(versionId)?.content;
  return variableNameProblem(env) ?? (content && environmentValueProblem(content));
}

/**
 * Returns why the container cannot be created or started yet; "" when its files exist or can be written, and its
 * environment variables are known if it does not exist yet.
 */
export function fileWait({ assignment, memory, files, containers }: TaskView): string {
  if (assignment === undefined) return "";
  const isNeeded = (mount: FileMount): boolean =>
    isFile(mount) ? memory.files !== "written" : containers.length === 0;
  const missing = mountsOf(assignment).find(
    (mount) => isNeeded(mount) && !files.contents.has(mount.versionId),
  );
  return missing === undefined ? "" : `waiting for the leader to send ${describeFile(missing)}`;
}

/** Returns the files to write before the container is created or started, or undefined if there are none to write. */
export function filesToWrite(
  { memory, files, node }: TaskView,
  assignment: TaskAndSpec,
): TaskFileSet | undefined {
  const mounts = filesOf(assignment);
  if (mounts.length === 0 || memory.files === "written") return undefined;
  const { task } = assignment;
  const root = containerRoot(assignment.spec.task?.container, node);
  // A file that two mounts share is written once.
  const byName = new Map<string, TaskFile>();
  for (const mount of mounts) {
    const assigned = files.contents.get(mount.versionId);
    if (assigned === undefined) continue;
    const name = fileName(mount);
    byName.set(name, {
      name,
      content: assigned.isTemplate ? fillContent(assigned.content, assignment, node) : assigned.content,
      uid: (parseId(mount.uid) ?? 0) + root.uid,
      gid: (parseId(mount.gid) ?? 0) + root.gid,
      mode: modeOf(mount),
    });
  }
  return { taskId: task.id, files: [...byName.values()], directoryGid: node.containerRoot.gid };
}

/** Returns the mounts of the container's secrets and configs. Docker refuses to start a container with a missing file. */
export function fileMounts(
  mounts: readonly FileMount[],
  { taskId, directory }: { readonly taskId: string; readonly directory: string },
): readonly MountBody[] {
  return mounts.filter(isFile).map((mount) => ({
    Type: "bind",
    Source: `${directory}/${taskId}/${fileName(mount)}`,
    Target: mount.target,
    ReadOnly: true,
  }));
}

/** Returns the environment variables of the container's secrets, as `NAME=value`. Never logged. */
export function secretVariables(mounts: readonly FileMount[], contents: FileContents): readonly string[] {
  return mounts.flatMap(({ env, versionId }) => {
    const content = env === "" ? undefined : contents.get(versionId)?.content;
    return content === undefined ? [] : [`${env}=${environmentValue(content)}`];
  });
}

/** Returns the host's IDs of root in the container. */
export function containerRoot(
  container: ContainerSpec | undefined,
  { containerRoot: root }: NodeFacts,
): HostIds {
  return container?.usernsMode === "host" ? HOST_ROOT : root;
}

/** IDs of a user and its group on this host. */
export interface HostIds {
  readonly uid: number;
  readonly gid: number;
}

export const HOST_ROOT: HostIds = { uid: 0, gid: 0 };

/** Returns the name of a mount's file. Mounts of one version with different owners or modes have different files. */
function fileName(mount: FileMount): string {
  const owner = `${parseId(mount.uid) ?? 0}-${parseId(mount.gid) ?? 0}`;
  return `${mount.versionId}-${owner}-${modeOf(mount).toString(8)}`;
}

function modeOf({ mode = DEFAULT_FILE_MODE }: FileMount): number {
  return mode & PERMISSION_BITS;
}

/** Returns the number in a text, 0 for an empty text, or undefined if the number is not an ID. */
function parseId(text: string): number | undefined {
  if (text === "") return 0;
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}

/** Replaces placeholders. Values are ASCII, so all other bytes of the content stay as they are. */
function fillContent(content: Buffer, { task }: TaskAndSpec, node: NodeFacts): Buffer {
  return Buffer.from(fillTemplate(content.toString("latin1"), task, node), "latin1");
}

function describeFile({ kind, name }: FileMount): string {
  return `${fileKindName(kind)} ${name}`;
}
