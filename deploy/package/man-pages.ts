// Generates the manual pages from the CLI's grammar, so that they match `--help`.
import type { Command } from "commander";

export interface ManPage {
  /** File name, such as `berth-stack-deploy.1`. */
  readonly file: string;
  readonly text: string;
}

export interface ManPageOptions {
  readonly version: string;
  /** Date of the pages, as YYYY-MM-DD. */
  readonly date: string;
  /** The output of `--help` for commands that parse their own arguments, by command. */
  readonly programHelp: ReadonlyMap<string, string>;
}

/** Returns one page for the program and one for each command. */
export function manPages(program: Command, options: ManPageOptions): ManPage[] {
  return pagesOf(program, ["berth"], options);
}

function pagesOf(command: Command, path: readonly string[], options: ManPageOptions): ManPage[] {
  const children = command.commands.flatMap((child) => pagesOf(child, [...path, child.name()], options));
  return [{ file: `${path.join("-")}.1`, text: pageText(command, path, options) }, ...children];
}

function pageText(command: Command, path: readonly string[], options: ManPageOptions): string {
  const { version, date, programHelp } = options;
  const name = path.join("-");
  const help = path.length === 2 ? programHelp.get(command.name()) : undefined;
  const summary = command.description().split("\n")[0] ?? "";
  return [
    `.TH ${name.toUpperCase()} 1 "${date}" "berth ${version}" "berth"`,
    ...section("NAME", [`${name} \\- ${escapeText(firstToLower(summary))}`]),
    ...(help === undefined ? commandSections(command, path) : section("SYNOPSIS", preformatted(help))),
    ...section("SEE ALSO", seeAlso(command, path)),
    "",
  ].join("\n");
}

function commandSections(command: Command, path: readonly string[]): string[] {
  const usage = `.B ${escapeText(path.join(" "))}\n${escapeText(command.usage())}`;
  const help = command.createHelp();
  const options = help
    .visibleOptions(command)
    .map((option) => item(option.flags, help.optionDescription(option)));
  const subcommands = help.visibleCommands(command);
  const examples = helpAfter(command);
  return [
    ...section("SYNOPSIS", [usage]),
    ...section("DESCRIPTION", [escapeText(command.description())]),
    ...section(
      "COMMANDS",
      subcommands.flatMap((child) => item(child.name(), child.description())),
    ),
    ...section("OPTIONS", options.flat()),
    ...section("EXAMPLES", examples === "" ? [] : preformatted(examples)),
  ];
}

/** Returns the examples that commander prints after the options, without their heading. */
function helpAfter(command: Command): string {
  let text = "";
  const output = command.configureOutput();
  const writeOut = (part: string): void => {
    text += part;
  };
  command.configureOutput({ writeOut });
  command.outputHelp();
  command.configureOutput(output);
  const start = text.indexOf("\nExamples:\n");
  return start < 0 ? "" : text.slice(start + "\nExamples:\n".length).trimEnd();
}

function seeAlso(command: Command, path: readonly string[]): string[] {
  const parent = path.length > 1 ? [path.slice(0, -1)] : [];
  const related = [...parent, ...command.commands.map((child) => [...path, child.name()])];
  return [related.map((words) => `.BR ${words.join("-")} (1)`).join(" ,\n")];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.every((line) => line === "") ? [] : [`.SH ${title}`, ...lines];
}

function item(term: string, description: string): string[] {
  return [".TP", `.B ${escapeText(term)}`, escapeText(description)];
}

function preformatted(text: string): string[] {
  return [".nf", escapeText(text), ".fi"];
}

/** Escapes backslashes, hyphens, and lines that roff would interpret as requests. */
function escapeText(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

/** Lowers the first letter, unless it starts an acronym: the NAME section contains a phrase, not a sentence. */
function firstToLower(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
