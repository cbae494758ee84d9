import { join } from "node:path";
import { expect, test } from "vitest";
import { MISTAKES, type Mistake } from "../testing/compose-mistakes.js";
import { loadText } from "../testing/load-text.js";

const DOCUMENT = join(import.meta.dirname, "../../../../docs/compose-errors.md");
const INTRODUCTION = `# Mistakes in Compose files

This page is generated from \`packages/cli/src/testing/compose-mistakes.ts\` by \`npx vitest run --project unit packages/cli/src/compose/mistakes.test.ts -u\`. For each mistake it shows all messages of berth, and those of \`docker compose config\` 2.40.3 and \`docker stack config\` 28.2.2 where they are known.
`;

test("docs/compose-errors.md shows the messages for all mistakes", async () => {
  const sections = MISTAKES.map(renderMistake);
  await expect([INTRODUCTION, ...sections].join("\n")).toMatchFileSnapshot(DOCUMENT);
});

test.each(MISTAKES)("reports $title with a position and a path", ({ file }) => {
  const messages = messagesOf(file);
  expect(messages).not.toEqual([]);
  for (const message of messages) expect(message).toMatch(/^compose\.yaml:\d+:\d+: /);
});

test("reports four mistakes at once, in the order of the file", () => {
  const mistake = MISTAKES.find(({ title }) => title === "four mistakes at once");
  const lines = messagesOf(mistake?.file ?? "").map((message) => Number(message.split(":")[1]));
  expect(lines).toEqual([4, 5, 6, 7]);
});

function messagesOf(file: string): readonly string[] {
  return loadText(file).messages.map((message) => message.replace(/\bc\.yaml/g, "compose.yaml"));
}

function renderMistake({ title, file, compose, swarm }: Mistake): string {
  const heading = `${title.charAt(0).toUpperCase()}${title.slice(1)}`;
  const content = file === "" ? "" : `\n\`\`\`yaml\n${file}\`\`\`\n`;
  const rows = [
    ...messagesOf(file).map((message) => row("berth", message)),
    ...(compose === undefined ? [] : [row("Docker Compose", compose)]),
    ...(swarm === undefined ? [] : [row("Swarm", swarm)]),
  ];
  return `## ${heading}\n${content}\n| program | message |\n| --- | --- |\n${rows.join("\n")}\n`;
}

function row(program: string, message: string): string {
  const code = message.includes("accepted") || !/[:.']/.test(message) ? message : `\`${message}\``;
  return `| ${program} | ${code.replaceAll("|", "\\|")} |`;
}
