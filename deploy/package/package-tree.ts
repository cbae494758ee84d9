// Part of `npm run package`: lays out the package's files in a directory, at their paths on a host.
import { chmod, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Command } from "commander";
import { writeBundle } from "./bundle.js";
import { copyrightText } from "./licenses.js";
import { manPages } from "./man-pages.js";
import type { NodeRelease } from "./node-release.js";

/** Paths at which shells look for completion scripts, by shell. */
const COMPLETION_FILES: Readonly<Record<string, string>> = {
  bash: "usr/share/bash-completion/completions/berth",
  fish: "usr/share/fish/vendor_completions.d/berth.fish",
  zsh: "usr/share/zsh/vendor-completions/_berth",
};

/** Files that are copied unchanged, by their paths on a host. dpkg preserves an administrator's changes below /etc. */
const HOST_FILES: Readonly<Record<string, string>> = {
  "usr/lib/systemd/system/berth-server.service": "berth-server.service",
  "usr/lib/systemd/system/berth-agent.service": "berth-agent.service",
  "usr/lib/systemd/system/berth-ingress.service": "berth-ingress.service",
  "usr/lib/sysusers.d/berth.conf": "berth.sysusers",
  "usr/lib/tmpfiles.d/berth.conf": "berth.tmpfiles",
  "etc/berth/agent.env": "agent.env",
  "etc/berth/server.env": "server.env",
};
const HOST_FILES_SOURCE = fileURLToPath(new URL("files/", import.meta.url));

export interface PackageTreeOptions {
  readonly repository: string;
  readonly version: string;
  /** Date of the packaged commit. */
  readonly date: Date;
  /** The Node.js to include. Undefined if berth runs with the host's own. */
  readonly node: NodeRelease | undefined;
  readonly program: Command;
  /** The output of `--help` for commands that parse their own arguments, by command. */
  readonly programHelp: ReadonlyMap<string, string>;
  /** Completion scripts by shell. */
  readonly completionScripts: ReadonlyMap<string, string>;
}

/** Writes the files of the package below `root`. */
export async function writePackageTree(root: string, options: PackageTreeOptions): Promise<void> {
  const { repository, version, date, node, program, programHelp, completionScripts } = options;
  // Each release has its own directory, because processes of the previous release keep running during an upgrade.
  const library = `usr/lib/berth/${version}`;
  const files = await writeBundle(repository, join(root, library));
  await writeText(join(root, library, "package.json"), '{ "type": "module" }\n');
  if (node !== undefined) await cp(node.executable, join(root, library, "node"));
  await setInterpreter(
    join(root, library, "berth.js"),
    node === undefined ? "/usr/bin/node" : `/${library}/node`,
  );
  await mkdir(join(root, "usr/bin"), { recursive: true });
  await symlink(`../lib/berth/${version}/berth.js`, join(root, "usr/bin/berth"));
  for (const [shell, path] of Object.entries(COMPLETION_FILES)) {
    await writeText(join(root, path), completionScripts.get(shell) ?? "");
  }
  for (const [path, source] of Object.entries(HOST_FILES)) {
    await writeText(join(root, path), await readFile(join(HOST_FILES_SOURCE, source), "utf8"));
  }
  if (node !== undefined) {
    const overrides = await readFile(join(HOST_FILES_SOURCE, "lintian-overrides"), "utf8");
    await writeText(join(root, "usr/share/lintian/overrides/berth"), overrides);
  }
  const dateText = date.toISOString().slice(0, 10);
  for (const { file, text } of manPages(program, { version, date: dateText, programHelp })) {
    await writeCompressed(join(root, `usr/share/man/man1/${file}.gz`), text);
  }
  const documents = join(root, "usr/share/doc/berth");
  const nodeLicense = node === undefined ? undefined : await readFile(node.license, "utf8");
  await writeText(join(documents, "copyright"), await copyrightText(repository, files, nodeLicense));
  const changes = await readFile(join(repository, "CHANGELOG.md"), "utf8");
  await writeCompressed(join(documents, "changelog.gz"), changes);
}

/** Sets the interpreter in a script's first line, and makes the script executable. */
async function setInterpreter(file: string, interpreter: string): Promise<void> {
  const source = await readFile(file, "utf8");
  if (!source.startsWith("#!")) throw new Error(`${file} does not start with the path of an interpreter`);
  await writeFile(
    file,
    source.replace(/^#!.*/, () => `#!${interpreter}`),
  );
  await chmod(file, 0o755);
}

async function writeText(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

/** Compresses a text without a file name or timestamp, so that the result is reproducible. */
async function writeCompressed(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, gzipSync(text, { level: 9 }));
}
