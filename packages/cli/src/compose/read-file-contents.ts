import { isUtf8 } from "node:buffer";
import {
  FileContent,
  findPlaceholderProblems,
  isBerthError,
  MAX_PLACEHOLDER_PROBLEMS,
  type PlaceholderProblem,
  validateFileContent,
} from "@berth/proto";
import type { FileSource, StackFile } from "./keys/stack-context.js";
import type { ProjectEnvironment } from "./model/read-project.js";
import { createSource, type SourceSpan } from "./text/source.js";

/** Maximum size of all contents. A request to the leader is limited to 16 MiB. */
const MAX_TOTAL_BYTES = 12 * 1024 * 1024;

/**
 * Reads the contents of a stack's secrets and configs. Problems are reported to the diagnostics of the sources, and
 * never quote the content of a secret. External and unreadable files are left out.
 */
export function readFileContents(
  files: readonly StackFile[],
  environment: ProjectEnvironment,
): readonly FileContent[] {
  const contents: FileContent[] = [];
  let totalBytes = 0;
  for (const { source, ...file } of files) {
    const content = source === undefined ? undefined : readSource(source, environment);
    if (source === undefined || content === undefined) continue;
    totalBytes += content.length;
    if (totalBytes > MAX_TOTAL_BYTES) {
      const message = `the secrets and configs of the stack are too large (maximum ${MAX_TOTAL_BYTES} bytes)`;
      source.cursor.diagnostics.error(source.cursor, message);
      break;
    }
    contents.push(checkContent(FileContent.fromPartial({ ...file, content }), source));
  }
  return contents;
}

/** Reports problems of the content. The name and the kind were checked with the keys. */
function checkContent(file: FileContent, source: FileSource): FileContent {
  const [violation] = validateFileContent(file).filter(({ path }) => path !== "name" && path !== "template");
  if (violation !== undefined) {
    source.cursor.diagnostics.error(source.cursor, violation.message);
  } else if (file.isTemplate) {
    reportPlaceholders(file.content, source);
  }
  return file;
}

function readSource(source: FileSource, environment: ProjectEnvironment): Buffer | undefined {
  const { kind, value, cursor } = source;
  if (kind === "text") return Buffer.from(value);
  if (kind === "path") return readPath(source, environment);
  const variable = environment.lookup(value);
  if (variable === undefined) cursor.diagnostics.error(cursor, `the variable ${value} is not set`);
  return variable === undefined ? undefined : Buffer.from(variable);
}

function readPath({ value, cursor }: FileSource, { readFile }: ProjectEnvironment): Buffer | undefined {
  const { diagnostics } = cursor;
  if (value === "" || /\p{Cc}/u.test(value)) {
    diagnostics.error(cursor, "the value is not the path of a file");
    return undefined;
  }
  try {
    const bytes = readFile(value);
    if (bytes === undefined) diagnostics.error(cursor, `no such file: ${writtenText(cursor)}`);
    return bytes && Buffer.from(bytes);
  } catch (error) {
    if (!isBerthError(error)) throw error;
    diagnostics.error(cursor, error.message);
    return undefined;
  }
}

/** Returns a path as it is written in the Compose file. */
function writtenText({ node }: FileSource["cursor"]): string {
  return node.kind === "scalar" ? node.text : "";
}

/** Reports the placeholders of a config template that agents cannot replace, at their positions. */
function reportPlaceholders(content: Uint8Array, source: FileSource): void {
  const { cursor } = source;
  if (!isUtf8(content)) {
    cursor.diagnostics.error(cursor, "a template must be UTF-8 text");
    return;
  }
  const template = Buffer.from(content).toString("utf8");
  const positionOf = placeholderPositions(source, template);
  for (const problem of findPlaceholderProblems(template, MAX_PLACEHOLDER_PROBLEMS)) {
    cursor.diagnostics.error({ position: positionOf(problem), path: cursor.path }, problem.message);
  }
}

/** Returns a function that finds a placeholder in the file of the content, or in the Compose file. */
function placeholderPositions(
  { kind, cursor }: FileSource,
  template: string,
): (problem: PlaceholderProblem) => SourceSpan {
  if (kind === "path") {
    const source = createSource(writtenText(cursor), template);
    return ({ start, end }) => ({ source, start, end });
  }
  const { source, start: offset, end: limit } = cursor.position;
  let searchFrom = offset;
  return ({ start, end }) => {
    // The text of a block scalar has no indentation, and variables have been replaced, so offsets differ.
    const index = source.text.indexOf(template.slice(start, end), searchFrom);
    if (index < 0 || index + end - start > limit) return cursor.position;
    searchFrom = index + end - start;
    return { source, start: index, end: searchFrom };
  };
}
