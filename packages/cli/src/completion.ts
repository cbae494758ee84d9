import type { Command } from "commander";
import type { Cli } from "./cli.js";
import { createProgram } from "./program.js";

/** The user waits at a prompt: names that take longer are not shown. */
const NAMES_TIMEOUT_MS = 800;
const SHELLS = ["bash", "fish", "zsh"];

/**
 * `berth __complete WORD…`: prints what the last word could be, one a line. Never fails and never says why it has
 * nothing: it runs while somebody types.
 */
export async function complete(cli: Cli, words: readonly string[]): Promise<number> {
  const program = createProgram(cli);
  const { command, position } = findCommand(program, words.slice(0, -1));
  const last = words.at(-1) ?? "";
  const candidates = last.startsWith("-")
    ? optionsOf(command, program)
    : await wordsFor(cli, command, position);
  const matching = candidates.filter((candidate) => candidate.startsWith(last));
  cli.stdout.write(matching.map((candidate) => `${candidate}\n`).join(""));
  return 0;
}

interface Place {
  readonly command: Command;
  /** How many arguments of the command come before the word. */
  readonly position: number;
}

function findCommand(program: Command, words: readonly string[]): Place {
  let command = program;
  let position = 0;
  for (const word of words) {
    const next = command.commands.find(
      (candidate) => candidate.name() === word || candidate.aliases().includes(word),
    );
    if (next !== undefined) command = next;
    else if (!word.startsWith("-")) position += 1;
  }
  return { command, position };
}

function optionsOf(command: Command, program: Command): readonly string[] {
  const options = command === program ? program.options : [...command.options, ...program.options];
  return ["--help", ...options.flatMap(({ long }) => long ?? [])].sort();
}

async function wordsFor(cli: Cli, command: Command, position: number): Promise<readonly string[]> {
  if (command.commands.length > 0) return command.commands.map((candidate) => candidate.name());
  const args = command.registeredArguments;
  const argument = args[position] ?? (args.at(-1)?.variadic ? args.at(-1) : undefined);
  if (argument === undefined) return [];
  if (argument.name() === "shell") return SHELLS;
  try {
    return await (await import("./complete-names.js")).namesFor(cli, argument.name(), NAMES_TIMEOUT_MS);
  } catch {
    return []; // No server, no names.
  }
}
