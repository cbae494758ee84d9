import { type Command, Option } from "commander";
import type { FileNoun } from "../commands/file/file-kind.js";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addWaitOptions,
  filterOption,
  lazyAction,
  repeatableOption,
} from "./command-options.js";

/** The texts that differ between the commands for secrets and for configs. */
interface FileTexts {
  readonly description: string;
  /** Name and path in the examples. */
  readonly name: string;
  readonly path: string;
}

const FILE_TEXTS: Readonly<Record<FileNoun, FileTexts>> = {
  secret: {
    description: "Manage secrets, which containers mount as in-memory files",
    name: "db_password",
    path: "password.txt",
  },
  config: {
    description: "Manage configs, which containers mount as in-memory files",
    name: "nginx_conf",
    path: "nginx.conf",
  },
};

/** Adds `berth secret …` and `berth config …`. */
export function addFileCommands(program: Command, cli: Cli): void {
  addRotateKey(addGroup(program, cli, "secret"), cli);
  addGroup(program, cli, "config");
}

function addRotateKey(secret: Command, cli: Cli): void {
  const rotate = secret
    .command("rotate-key")
    .description(
      "Replace the cluster key, which encrypts secrets, configs and CA keys in etcd, without interruption",
    )
    .option("--status", "only show the progress of the rotation");
  addExamples(
    addWaitOptions(rotate).action(
      lazyAction(cli, async () => (await import("../commands/file/rotate-key.js")).rotateClusterKey),
    ),
    ["berth secret rotate-key", "berth secret rotate-key --status"],
  );
}

function addGroup(program: Command, cli: Cli, noun: FileNoun): Command {
  const { description, name } = FILE_TEXTS[noun];
  const group = program.command(noun).description(description);
  addCreate(group, cli, noun);
  addUpdate(group, cli, noun);
  addExamples(
    group
      .command("ls")
      .alias("list")
      .description(`List ${noun}s`)
      .addOption(filterOption(["name", "label", "stack"]))
      .option("-q, --quiet", "only display names")
      .action(lazyAction(cli, async () => (await import("../commands/file/ls.js")).listFiles(noun))),
    [`berth ${noun} ls`, `berth ${noun} ls --filter stack=shop`],
  );
  addExamples(
    group
      .command("inspect")
      .argument(`<${noun}...>`)
      .description(
        noun === "secret"
          ? "Display detailed information on one or more secrets and the services that use them; contents are never shown"
          : "Display detailed information on one or more configs, the services that use them, and their contents",
      )
      .option("--pretty", "print the information in a human friendly format")
      .action(lazyAction(cli, async () => (await import("../commands/file/inspect.js")).inspectFiles(noun))),
    [`berth ${noun} inspect --pretty ${name}`],
  );
  addExamples(
    group
      .command("rm")
      .alias("remove")
      .argument(`<${noun}...>`)
      .description(`Remove one or more unused ${noun}s`)
      .action(lazyAction(cli, async () => (await import("../commands/file/rm.js")).removeFiles(noun))),
    [`berth ${noun} rm ${name}`],
  );
  return group;
}

function addCreate(group: Command, cli: Cli, noun: FileNoun): void {
  const { name, path } = FILE_TEXTS[noun];
  const create = addPutOptions(group.command("create").argument("<name>"), noun)
    .description(`Create a ${noun} from a file or from standard input`)
    .option("--stack <stack>", `stack that owns the ${noun}; removing the stack removes the ${noun}`);
  addExamples(
    create.action(lazyAction(cli, async () => (await import("../commands/file/put.js")).createFile(noun))),
    noun === "secret"
      ? [`berth secret create ${name} ${path}`, `openssl rand -hex 32 | berth secret create ${name} -`]
      : [
          `berth config create ${name} ${path}`,
          `berth config create --template-driver golang ${name} ${path}`,
        ],
  );
}

function addUpdate(group: Command, cli: Cli, noun: FileNoun): void {
  const { name, path } = FILE_TEXTS[noun];
  const update = addPutOptions(group.command("update").argument(`<${noun}>`), noun)
    .description(`Store a new version of a ${noun}, and update the services that use it`)
    .option("-q, --quiet", "suppress progress output");
  addExamples(
    addWaitOptions(update).action(
      lazyAction(cli, async () => (await import("../commands/file/put.js")).updateFile(noun)),
    ),
    [`berth ${noun} update ${name} ${path}`, `berth ${noun} update --detach ${name} - < ${path}`],
  );
}

/** Adds the argument for the content, and the options for its settings. */
function addPutOptions(command: Command, noun: FileNoun): Command {
  command
    .argument("<file|->", 'path to the content, or "-" to read from stdin')
    .addOption(repeatableOption("-l, --label <key=value>", `set metadata on the ${noun}`));
  if (noun === "secret") return command;
  return command.addOption(
    new Option(
      "--template-driver <driver>",
      "replace placeholders such as {{.Node.Hostname}} in the content",
    ).choices(["golang"]),
  );
}
