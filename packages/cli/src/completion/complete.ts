import type { Command, Option } from "commander";
import { createProgram, globalOptions } from "../grammar/program.js";
import type { Cli, GlobalOptions } from "../process/cli.js";

/** The user waits at a prompt: names that take longer are not shown. */
const NAMES_TIMEOUT_MS = 800;
const SHELLS = ["bash", "fish", "zsh"];

/**
 * `berth __complete WORD…`: prints what the last word could be, one a line. Never fails and never says why it has
 * nothing: it runs while somebody types.
 */
export async function complete(cli: Cli, words: readonly string[]): Promise<number> {
  const program = createProgram(cli);
  const place = parseContext(program, words.slice(0, -1));
  const last = words.at(-1) ?? "";
  const candidates = await candidatesFor(cli, program, { place, last });
  const matching = candidates.filter(
    (candidate) => candidate.startsWith(last) && !isIncompletePair(candidate, last),
  );
  cli.stdout.write(matching.map((candidate) => `${candidate}\n`).join(""));
  return 0;
}

/** `shop_web=` is all there already, and what follows is the user's to say. */
function isIncompletePair(candidate: string, last: string): boolean {
  return candidate === last && candidate.endsWith("=");
}

/** Where in the grammar a word stands. */
interface CompletionContext {
  readonly command: Command;
  /** How many arguments of the command come before the word. */
  readonly position: number;
  /** The option whose value the word is. */
  readonly option: Option | undefined;
  /** What the words before it say. */
  readonly globals: GlobalOptions;
}

function parseContext(program: Command, words: readonly string[]): CompletionContext {
  let place: CompletionContext = { command: program, position: 0, option: undefined, globals: {} };
  for (const word of words) place = advanceContext(program, place, word);
  return place;
}

function advanceContext(program: Command, place: CompletionContext, word: string): CompletionContext {
  const { command, position, option } = place;
  if (option !== undefined) {
    const isServer = option.attributeName() === "server";
    return { ...place, option: undefined, globals: isServer ? { server: word } : place.globals };
  }
  if (word.startsWith("-")) return { ...place, option: optionWithValue(command, program, word) };
  const next = command.commands.find(
    (candidate) => candidate.name() === word || candidate.aliases().includes(word),
  );
  return next === undefined ? { ...place, position: position + 1 } : { ...place, command: next };
}

/** The option that takes the next word as its value; undefined for flags and for `--option=value`. */
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
  { place, last }: { place: CompletionContext; last: string },
): Promise<readonly string[]> {
  const { command, option } = place;
  if (option !== undefined) return option.argChoices ?? [];
  if (last.startsWith("-")) {
    const longs = allOptions(command, program).flatMap(({ long }) => long ?? []);
    return ["--help", ...longs].sort();
  }
  return argumentsFor(cli, place);
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
  const { fetchNames } = await import("./complete-names.js");
  const request = { argument: argument.name(), globals, timeoutMs: NAMES_TIMEOUT_MS };
  return fetchNames(cli, request).catch(() => []); // No server, no names.
}
