import { join } from "node:path";
import { assertNever } from "@berth/proto";
import { expect, test } from "vitest";
import { type DocumentedKey, listComposeKeys, type Support } from "../testing/compose-keys.js";
import { SERVICE_KEYS } from "./keys/service-keys.js";

const DOCUMENT = join(import.meta.dirname, "../../../../docs/compose-keys.md");
const INTRODUCTION = `# Keys of Compose files

This page is generated from the shapes in \`packages/cli/src/compose/model\` by \`npx vitest run --project unit packages/cli/src/compose/keys.test.ts -u\`. The column "berth" is not written by hand: the Compose reader is asked about an example of each key.

| berth | meaning |
| --- | --- |
| yes | berth honors the key |
| no effect | the key is accepted, and changes nothing in a cluster |
| note | berth honors the key, and prints this warning |
| ignored | berth deploys the service without the key, and prints this warning |
| refused | berth does not deploy the file, and prints this error |
| as its parent | the mapping with the key is ignored or refused, or has a note |

Docker Compose and \`docker stack deploy\` (Swarm) honor a key unless its row says otherwise. \`docker stack deploy\` is described as of Docker 28, and Docker Compose as of 2.40. Extensions (\`x-…\`) are accepted in every mapping.
`;
const KEYS = listComposeKeys();

test("docs/compose-keys.md documents all keys", async () => {
  await expect(renderKeys(KEYS)).toMatchFileSnapshot(DOCUMENT);
});

test("marks the keys that change nothing as such, and no others", () => {
  const silent = KEYS.filter(({ support }) => support.kind === "none").map(({ path }) => path);
  const marked = KEYS.filter(({ about }) => about.hasNoEffect).map(({ path }) => path);
  expect(silent).toEqual(marked);
});

test("documents every key of a service that is translated", () => {
  const documented = KEYS.map(({ path }) => path.replace(/^services\.\*\./, ""));
  // Later releases of the format replaced this key, which files of Swarm use, by `cgroup`.
  const translated = Object.keys(SERVICE_KEYS).filter((key) => key !== "cgroupns_mode");
  expect(translated.filter((key) => !documented.includes(key))).toEqual([]);
});

function renderKeys(keys: readonly DocumentedKey[]): string {
  const parents = new Set(keys.map(parentOf));
  const rendered = [...parents].map((parent) => {
    const members = keys.filter((key) => parentOf(key) === parent);
    return renderSection(parent, members);
  });
  return [INTRODUCTION, ...rendered].join("\n");
}

function renderSection(parent: string, keys: readonly DocumentedKey[]): string {
  const rows = keys.map(({ path, about, support, exceptions }) =>
    row([
      `\`${path.slice(path.lastIndexOf(".") + 1)}\``,
      about.summary,
      [
        describeSupport(support),
        ...[...exceptions].map(([value, other]) => `\`${value}\`: ${describeSupport(other)}`),
      ].join("<br>"),
      about.compose ?? "",
      about.swarm ?? "",
    ]),
  );
  const header = row(["key", "what it sets", "berth", "Docker Compose", "Swarm"]);
  return `## ${titleOf(parent)}\n\n${[header, row(Array<string>(5).fill("---")), ...rows].join("\n")}\n`;
}

function parentOf({ path }: DocumentedKey): string {
  return path.slice(0, Math.max(0, path.lastIndexOf(".")));
}

function titleOf(parent: string): string {
  if (parent === "") return "The top level";
  const inService = parent.replace(/^services\.\*\.?/, "");
  if (inService === "") return "A service";
  return inService === parent ? `\`${parent}\`` : `\`${inService}\` of a service`;
}

function describeSupport({ kind, message }: Support): string {
  switch (kind) {
    case "honored":
      return "yes";
    case "none":
      return "no effect";
    case "parent":
      return "as its parent";
    case "noted":
    case "ignored":
    case "refused":
      return `${kind === "noted" ? "note" : kind}: ${message.replace(/^ignored: /, "")}`;
    default:
      return assertNever(kind);
  }
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
