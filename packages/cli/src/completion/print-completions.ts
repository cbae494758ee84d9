import type { Command, Option } from "commander";
import { createProgram, globalOptions } from "../grammar/program.js";
import type { Cli, GlobalOptions } from "../process/cli.js";

/** Timeout for fetching candidates from a server, since the user waits at a prompt. */
const FETCH_TIMEOUT_MS = 800;
/** Arguments of `berth completion`, repeated here so that the scripts need not be loaded while the user types. */
const SHELLS = ["bash", "fish", "zsh"];

/**
 * `berth __complete WORD…`: prints the completions of the last word, one per line. The shell's completion script runs it
 * while the user types, so it never fails or prints errors.
 */
export async function printCompletions(cli: Cli, words: readonly string[]): Promise<number> {
  const program = createProgram(cli);
  const context = parseContext(program, words.slice(0, -1));
  const last = words.at(-1) ?? "";
  const candidates = await listCandidates(cli, program, { context, last });
  const matching = candidates.filter(
    (candidate) => candidate.startsWith(last) && !isAssignmentPrefix(candidate, last),
  );
  cli.stdout.write(matching.map((candidate) => `${candidate}\n`).join(""));
  return 0;
}

/** Returns whether the user has already typed the whole candidate `NAME=`. The value after it cannot be completed. */
function isAssignmentPrefix(candidate: string, last: string): boolean {
  return candidate === last && candidate.endsWith("=");
}

/** The position of the word to complete in the grammar of the command line. */
interface CompletionContext {
  readonly command: Command;
  /** Number of arguments of the command before the word. */
  readonly position: number;
  /** The option whose value is the word. Undefined if the word is an argument, a command or an option. */
  readonly option: Option | undefined;
  /** The global options before the word. */
  readonly globals: GlobalOptions;
}

function parseContext(program: Command, words: readonly string[]): CompletionContext {
  let context: CompletionContext = { command: program, position: 0, option: undefined, globals: {} };
  for (const word of words) context = advanceContext(program, context, word);
  return context;
}

function advanceContext(program: Command, context: CompletionContext, word: string): CompletionContext {
  const { command, position, option } = context;
  if (option !== undefined) {
    const isServer = option.attributeName() === "server";
    return { ...context, option: undefined, globals: isServer ? { server: word } : context.globals };
  }
  if (word.startsWith("-")) {
    const server = attachedServer(word);
    if (server !== undefined) return { ...context, globals: { server } };
    return { ...context, option: optionWithValue(command, program, word) };
  }
  const next = command.commands.find(
    (candidate) => candidate.name() === word || candidate.aliases().includes(word),
  );
  return next === undefined ? { ...context, position: position + 1 } : { ...context, command: next };
}

/** Returns the value of `--server=HOST:PORT` or `-sHOST:PORT`, or undefined for any other option. */
function attachedServer(word: string): string | undefined {
  return /^(?:--server=|-s)(.+)$/.exec(word)?.[1];
}

/** Returns the option whose value is the next word, or undefined for flags and for `--option=value`. */
function optionWithValue(command: Command, program: Command, word: string): Option | undefined {
  return availableOptions(command, program).find(
    ({ short, long, required }) => required && (word === short || word === long),
  );
}

function availableOptions(command: Command, program: Command): readonly Option[] {
  return command === program ? program.options : [...command.options, ...globalOptions(program)];
}

async function listCandidates(
  cli: Cli,
  program: Command,
  { context, last }: { context: CompletionContext; last: string },
): Promise<readonly string[]> {
  const { command, option } = context;
  if (option !== undefined) return option.argChoices ?? [];
  if (last.startsWith("-")) {
    const longs = availableOptions(command, program).flatMap(({ long, hidden }) =>
      hidden ? [] : (long ?? []),
    );
    return ["--help", ...longs].sort();
  }
  return listArgumentCandidates(cli, context);
}

async function listArgumentCandidates(
  cli: Cli,
  { command, position, globals }: CompletionContext,
): Promise<readonly string[]> {
  if (command.commands.length > 0) return command.commands.map((candidate) => candidate.name());
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[position] ?? (last?.variadic ? last : undefined);
  if (argument === undefined) return [];
  if (argument.name() === "shell") return SHELLS;
  const { fetchCandidates } = await import("./fetch-candidates.js");
  const request = { argument: argument.name(), globals, timeoutMs: FETCH_TIMEOUT_MS };
  // No candidates are suggested when the server cannot be reached.
  return fetchCandidates(cli, request).catch(() => []);
}
