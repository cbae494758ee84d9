import { isUtf8 } from "node:buffer";
import type { FileContent } from "../../gen/berth/v1/control.js";
import { type ContainerSpec, FileKind, type FileMount } from "../../gen/berth/v1/spec.js";
import { fileNameProblem } from "./names.js";
import { findPlaceholderProblems } from "./task-placeholders.js";
import type { Report, Violation } from "./violation.js";

/** Maximum size of one secret or config, as in Docker Swarm. */
export const MAX_FILE_BYTES = 500 * 1024;

/** Maximum number of secrets and configs of a service. */
export const MAX_FILES_PER_SERVICE = 100;
/** Maximum total size of the labels of one secret or config. */
const MAX_LABEL_BYTES = 16 * 1024;

/**
 * Maximum size of a secret in an environment variable. The kernel accepts 128 KiB for a variable, and 2 MiB for all
 * variables of a program.
 */
const MAX_ENVIRONMENT_BYTES = 32 * 1024;
const MAX_VARIABLE_LENGTH = 255;

/** Maximum number of reported placeholders of one config. */
export const MAX_PLACEHOLDER_PROBLEMS = 20;

/** Permission bits of a file without a mode, as in Docker Swarm. */
export const DEFAULT_FILE_MODE = 0o444;
/**
 * Highest mode of a file. Docker accepts the bits for set-user-ID, set-group-ID and sticky, which have no effect: the
 * file system is mounted with nosuid.
 */
const MAX_FILE_MODE = 0o7777;
/** Highest user or group number. The kernel reserves the next one. */
const MAX_USER_NUMBER = 2 ** 32 - 2;
/** Maximum length of a path in the kernel, without the final NUL byte. */
const MAX_TARGET_LENGTH = 4_095;

/** Returns the word that users see for a kind. */
export function fileKindName(kind: FileKind): "secret" | "config" {
  return kind === FileKind.CONFIG ? "config" : "secret";
}

/** Returns where a container gets a secret or config, for messages: a path or the name of a variable. */
export function describeFileTarget({ target, env }: Pick<FileMount, "target" | "env">): string {
  return env === "" ? target : `env ${env}`;
}

/**
 * Returns why content cannot be the value of an environment variable, or undefined if it can. Never quotes the content.
 */
export function environmentValueProblem(content: Uint8Array): string | undefined {
  if (content.length > MAX_ENVIRONMENT_BYTES) {
    return `the content is too large for an environment variable (${content.length} bytes, maximum ${MAX_ENVIRONMENT_BYTES})`;
  }
  if (content.includes(0)) {
    return "the content contains a NUL byte, which an environment variable cannot hold";
  }
  return isUtf8(content) ? undefined : "the content is not UTF-8 text, as an environment variable must be";
}

/** Returns content as the value of an environment variable: without the final line break that most files have. */
export function environmentValue(content: Uint8Array): string {
  return Buffer.from(content)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

function isKnownKind(kind: FileKind): boolean {
  return kind === FileKind.SECRET || kind === FileKind.CONFIG;
}

/** Checks the secrets and configs of one container. */
export function validateFileMounts(
  { files, mounts, env }: Pick<ContainerSpec, "files" | "mounts" | "env">,
  path: string,
  report: Report,
): void {
  if (files.length > MAX_FILES_PER_SERVICE) {
    report(
      `${path}.files`,
      `too many secrets and configs (${files.length}, maximum ${MAX_FILES_PER_SERVICE})`,
    );
    return;
  }
  const paths = new Map(
    mounts.map(({ target }, index) => [target.replace(/\/+$/, ""), `${path}.mounts[${index}]`]),
  );
  const variables = new Map(env.map((entry, index) => [entry.split("=", 1)[0], `${path}.env[${index}]`]));
  files.forEach((file, index) => {
    const filePath = `${path}.files[${index}]`;
    validateFileMount(file, filePath, report);
    const [field, known] = file.env === "" ? (["target", paths] as const) : (["env", variables] as const);
    const place = file[field];
    const first = known.get(place);
    if (first === undefined) {
      known.set(place, filePath);
    } else {
      report(`${filePath}.${field}`, `${first} has the same ${field} ${place.slice(0, MAX_TARGET_LENGTH)}`);
    }
  });
  const targets = new Set(files.filter(({ env: name }) => name === "").map(({ target }) => target));
  files.forEach(({ target }, index) => {
    const parent = parentPaths(target).find((candidate) => targets.has(candidate));
    if (parent !== undefined) {
      report(`${path}.files[${index}].target`, `${target} is below ${parent}, which is the target of a file`);
    }
  });
}

function validateFileMount(mount: FileMount, path: string, report: Report): void {
  const { kind, name, env } = mount;
  if (!isKnownKind(kind)) report(`${path}.kind`, "neither a secret nor a config");
  const nameProblem = fileNameProblem(fileKindName(kind), name);
  if (nameProblem !== undefined) report(`${path}.name`, nameProblem);
  if (env === "") {
    validateFilePlace(mount, path, report);
  } else {
    const problem = variableProblem(mount);
    if (problem !== undefined) report(`${path}.env`, problem);
  }
}

/** Returns why a mount cannot be an environment variable, or undefined if it can. */
function variableProblem({ kind, env, target, uid, gid, mode }: FileMount): string | undefined {
  if (kind !== FileKind.SECRET) return "only a secret can be an environment variable";
  const hasFileFields = target !== "" || uid !== "" || gid !== "" || mode !== undefined;
  if (hasFileFields) return "an environment variable cannot have a target, uid, gid or mode";
  return variableNameProblem(env);
}

/** Returns why a text cannot name an environment variable, or undefined if it can. */
export function variableNameProblem(name: string): string | undefined {
  if (name.length <= MAX_VARIABLE_LENGTH && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return undefined;
  return `${JSON.stringify(name.slice(0, 40))} is not the name of an environment variable; use up to ${MAX_VARIABLE_LENGTH} letters, digits and underscores, and no digit first`;
}

function validateFilePlace({ target, uid, gid, mode }: FileMount, path: string, report: Report): void {
  const problem = targetProblem(target);
  if (problem !== undefined) report(`${path}.target`, problem);
  for (const [field, value] of Object.entries({ uid, gid })) {
    if (!isUserNumber(value)) {
      report(
        `${path}.${field}`,
        `${JSON.stringify(value.slice(0, 40))} is not a number from 0 to ${MAX_USER_NUMBER}`,
      );
    }
  }
  if (mode !== undefined && !(mode >= 0 && mode <= MAX_FILE_MODE)) {
    report(`${path}.mode`, `0${mode.toString(8)} is not a mode from 0 to 0${MAX_FILE_MODE.toString(8)}`);
  }
}

/** Returns why a path cannot be the target of a file, or undefined if it can. */
function targetProblem(target: string): string | undefined {
  const quotedTarget = JSON.stringify(target.slice(0, 80));
  if (!target.startsWith("/")) return `${quotedTarget} is not an absolute path in the container`;
  if (target.length > MAX_TARGET_LENGTH) return `the path has more than ${MAX_TARGET_LENGTH} characters`;
  if (target.includes("\0")) return "a path cannot hold a NUL byte";
  const parts = target.slice(1).split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    return `${quotedTarget} is not the plain path of a file; remove empty parts, "." and ".."`;
  }
  return undefined;
}

/** Returns the directories of a path, for example /a and /a/b of /a/b/c. */
function parentPaths(target: string): readonly string[] {
  const parts = target.split("/").slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

function isUserNumber(text: string): boolean {
  return /^(0|[1-9][0-9]{0,9})$/.test(text) && Number(text) <= MAX_USER_NUMBER;
}

/** Reports the placeholders of a config template that agents cannot replace, at the path "template". */
function validateTemplate(content: Uint8Array, report: Report): void {
  if (!isUtf8(content)) {
    report("template", "a template must be UTF-8 text");
    return;
  }
  const template = Buffer.from(content).toString("utf8");
  for (const { start, message } of findPlaceholderProblems(template, MAX_PLACEHOLDER_PROBLEMS)) {
    report("template", `line ${template.slice(0, start).split("\n").length}: ${message}`);
  }
}

/**
 * Returns the violations of a secret or config that a client wants to store. The messages never contain its content.
 */
export function validateFileContent(file: FileContent): readonly Violation[] {
  const violations: Violation[] = [];
  const report: Report = (path, message) => violations.push({ path, message });
  const { kind, name, content, labels, isTemplate } = file;
  if (!isKnownKind(kind)) report("kind", "neither a secret nor a config");
  const nameProblem = fileNameProblem(fileKindName(kind), name);
  if (nameProblem !== undefined) report("name", nameProblem);
  if (content.length === 0) report("content", "the content is empty");
  if (content.length > MAX_FILE_BYTES) {
    report("content", `the content is too large (${content.length} bytes, maximum ${MAX_FILE_BYTES})`);
  }
  if (isTemplate && kind !== FileKind.CONFIG) {
    report("is_template", "only a config can be a template");
  } else if (isTemplate) {
    validateTemplate(content, report);
  }
  const labelBytes = Object.entries(labels).reduce((sum, pair) => sum + Buffer.byteLength(pair.join("=")), 0);
  if (labelBytes > MAX_LABEL_BYTES) {
    report("labels", `the labels are too large (${labelBytes} bytes, maximum ${MAX_LABEL_BYTES})`);
  }
  return violations;
}
