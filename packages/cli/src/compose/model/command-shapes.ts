import { splitShellWords } from "../text/shell-words.js";
import { listNode, scalarNode } from "../tree/node.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf } from "./shapes/list-shapes.js";
import { fields, type Keys, key } from "./shapes/map-shapes.js";
import { flag, text } from "./shapes/scalar-shapes.js";
import { defineShape, nullable, type Shape } from "./shapes/shape.js";
import { choiceOf, type KeyDocumentation, listSchema, TEXT_SCHEMA } from "./shapes/value-schema.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

/** A command line: a list of words, or text that is split into words as a shell would. */
export const commandLine: Shape = defineShape(
  choiceOf(TEXT_SCHEMA, listSchema(TEXT_SCHEMA)),
  (cursor, stage) => {
    if (cursor.node.kind === "list") return listOf(text)(cursor, stage);
    const line = text(cursor, stage);
    if (line?.kind !== "scalar") return undefined;
    const split = splitShellWords(line.text);
    if (split.kind === "invalid") {
      cursor.diagnostics.error(cursor, `invalid command line: ${split.reason}`);
      return undefined;
    }
    if (split.ignored !== "") {
      const message = `${JSON.stringify(split.ignored)} is ignored, since no shell runs the command; use ["sh", "-c", "…"]`;
      cursor.diagnostics.warn(cursor, message);
    }
    const words = split.words.map((word) => scalarNode(word, line.position));
    return listNode(words, line.position);
  },
);

const healthCommand = listOf(text);

/** The command of a health check: text, which a shell runs, or a list in Docker's form. */
export const healthTest: Shape = defineShape(choiceOf(TEXT_SCHEMA, healthCommand.schema), (cursor, stage) => {
  if (cursor.node.kind === "list") return healthCommand(cursor, stage);
  const line = text(cursor, stage);
  return line && listNode([scalarNode("CMD-SHELL", line.position), line], line.position);
});

/** Returns the keys of a command that runs in a container. */
export function hookFields(support: Omit<KeyDocumentation, "summary" | "example">): Keys {
  return {
    command: key(nullable(commandLine), "Command", "/run", support),
    user: key(text, "User that runs the command", "root", support),
    privileged: key(flag, "Runs the command with all privileges", true, support),
    working_dir: key(text, "Working directory of the command", "/srv", support),
    environment: key(keyValues(), "Additional environment variables", { A: "b" }, support),
  };
}

/** A list of commands that run at a point in the life cycle of a container. */
export const hooks: Shape = listOf(
  fields(
    {
      ...hookFields(REJECTED_BY_SWARM),
      command: key(commandLine, "Command", "/run", REJECTED_BY_SWARM),
    },
    ["command"],
  ),
);

/** `pre_start`: containers that run before the container of the service. */
export const preStartHooks: Shape = listOf(
  fields({
    ...hookFields(REJECTED_BY_SWARM),
    image: key(text, "Image, by default the service's image", "tools", REJECTED_BY_SWARM),
    per_replica: key(flag, "Whether to run for each replica", true, REJECTED_BY_SWARM),
  }),
);
