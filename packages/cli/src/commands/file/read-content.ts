import { isUtf8 } from "node:buffer";
import { BerthError, FileContent, findPlaceholderProblems, validateFileContent } from "@berth/proto";
import { createSource, lineColumn } from "../../compose/text/source.js";
import type { Cli } from "../../process/cli.js";
import { readInput } from "../shared/input-files.js";
import { type FileNoun, fileKindOf } from "./file-kind.js";

const STDIN_PATH = "-";
/** Maximum number of reported placeholders. */
const MAX_PLACEHOLDER_PROBLEMS = 20;

/** The secret or config that the command line specifies. */
export interface FileArguments {
  readonly noun: FileNoun;
  readonly name: string;
  /** Path of the content, or "-" for standard input. */
  readonly path: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isTemplate: boolean;
  readonly stack: string;
}

/**
 * Reads a secret or config from a file or from standard input. An argument would be visible to other users of the host.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all problems, which never quote the content of a secret.
 */
export async function readContent(cli: Cli, { noun, path, ...file }: FileArguments): Promise<FileContent> {
  const content = await readBytes(cli, noun, path);
  const fileContent = FileContent.fromPartial({ ...file, kind: fileKindOf(noun), content });
  // `templateProblems` reports violations of templates with better positions.
  const violations = validateFileContent(fileContent).filter((violation) => violation.path !== "template");
  const problems = violations.map(({ message }) => message);
  if (fileContent.isTemplate) problems.push(...templateProblems(path, fileContent.content));
  if (problems.length === 0) return fileContent;
  throw invalidInputError(`${noun} ${file.name} was not stored`, problems);
}

async function readBytes(cli: Cli, noun: FileNoun, path: string): Promise<Buffer> {
  if (path !== STDIN_PATH || !cli.streams.isInputTty) return Buffer.from((await readInput(cli, path)).bytes);
  if (noun === "secret") {
    return Buffer.from(await cli.readSecret({ file: STDIN_PATH, prompt: "Secret: ", what: noun }));
  }
  throw invalidInputError("standard input is a terminal", ["pass a file, or redirect standard input"]);
}

/** Returns the placeholders that agents cannot replace, with their positions. */
function templateProblems(path: string, content: Uint8Array): readonly string[] {
  if (!isUtf8(content)) return ["a template must be UTF-8 text"];
  const source = createSource(path === STDIN_PATH ? "<stdin>" : path, Buffer.from(content).toString("utf8"));
  return findPlaceholderProblems(source.text, MAX_PLACEHOLDER_PROBLEMS).map(({ start, end, message }) => {
    const { line, column } = lineColumn({ source, start, end });
    return `${source.name}:${line}:${column}: ${message}`;
  });
}

function invalidInputError(heading: string, problems: readonly string[]): BerthError {
  const message =
    problems.length === 1
      ? `${heading}: ${problems[0]}`
      : [`${heading}:`, ...problems.map((text) => `  ${text}`)].join("\n");
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
