import type { Command, Option } from "commander";
import { createProgram, globalOptions } from "../grammar/program.js";
import type { Cli, GlobalOptions } from "../process/cli.js";

/** The user waits at a prompt, so names that take longer to fetch are not shown. */
const NAMES_TIMEOUT_MS = 800;
const SHELLS = ["bash", "fish", "zsh"];

/**
 * `berth __complete WORD…`: prints the completions of the last word, one per line. Never fails or prints errors, since
 * it runs while the user types.
 */
export async function printCompletions(cli: Cli, words: readonly string[]): Promise<number> {
  const program = createProgram(cli);
  const context = parseContext(program, words.slice(0, -1));
  const last = words.at(-1) ?? "";
  const candidates = await candidatesFor(cli, program, { context, last });
  const matching = candidates.filter(
    (candidate) => candidate.startsWith(last) && !isIncompletePair(candidate, last),
  );
  cli.stdout.write(matching.map((candidate) => `${candidate}\n`).join(""));
  return 0;
}

/** Whether the word is already complete up to its `=`, after which there is nothing to suggest. */
function isIncompletePair(candidate: string, last: string): boolean {
  return candidate === last && candidate.endsWith("=");
}

/** The position of a word in the grammar. */
interface CompletionContext {
  readonly command: Command;
  /** Number of arguments of the command before the word. */
  readonly position: number;
  /** The option of which the word is the value. */
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
  if (word.startsWith("-")) return { ...context, option: optionWithValue(command, program, word) };
  const next = command.commands.find(
    (candidate) => candidate.name() === word || candidate.aliases().includes(word),
  );
  return next === undefined ? { ...context, position: position + 1 } : { ...context, command: next };
}

/** Returns the option whose value is the next word. Undefined for flags and for `--option=value`. */
function optionWithValue(command: Command, program: Command, word: string): Option | undefined {
  return allOptions(command, program).find(
    ({ short, long, required }) => required && (word === short || word === long),
  );
}

function allOptions(command: Command, program: Command): readonly Option[] {
  return command === program ? program.options : [...command.options, ...globalOptions(program)];
}

async function candidatesFor(
  cli: Cli,
  program: Command,
  { context, last }: { context: CompletionContext; last: string },
): Promise<readonly string[]> {
  const { command, option } = context;
  if (option !== undefined) return option.argChoices ?? [];
  if (last.startsWith("-")) {
    const longs = allOptions(command, program).flatMap(({ long }) => long ?? []);
    return ["--help", ...longs].sort();
  }
  return argumentsFor(cli, context);
}

async function argumentsFor(
  cli: Cli,
  { command, position, globals }: CompletionContext,
): Promise<readonly string[]> {
  if (command.commands.length > 0) return command.commands.map((candidate) => candidate.name());
  const args = command.registeredArguments;
  const argument = args[position] ?? (args.at(-1)?.variadic ? args.at(-1) : undefined);
  if (argument === undefined) return [];
  if (argument.name() === "shell") return SHELLS;
  const { fetchCandidates } = await import("./fetch-candidates.js");
  const request = { argument: argument.name(), globals, timeoutMs: NAMES_TIMEOUT_MS };
  return fetchCandidates(cli, request).catch(() => []); // Without a server there are no names.
}
