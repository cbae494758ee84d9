import type { Command } from "commander";
import { expect, test } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { createProgram } from "./program.js";

test("no command has an option of its own with the name of a global option", () => {
  const program = createProgram(fakeCli());
  const flagsOf = (command: Command): readonly string[] =>
    command.options.flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined));
  const globals = flagsOf(program);
  const shadowed = (command: Command): readonly string[] => [
    ...flagsOf(command).flatMap((flag) => (globals.includes(flag) ? `${command.name()} ${flag}` : [])),
    ...command.commands.flatMap(shadowed),
  ];
  expect(program.commands.flatMap(shadowed)).toEqual([]);
});
