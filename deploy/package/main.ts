// `npm run package`: builds the Debian packages and archives of this checkout.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { BERTH_VERSION } from "@berth/proto/version";
import { COMPLETION_SCRIPTS } from "../../packages/cli/src/commands/completion/completion-scripts.js";
import { createProgram, SUBPROGRAMS } from "../../packages/cli/src/grammar/program.js";
import { fakeCli } from "../../packages/cli/src/testing/fake-cli.js";
import { buildArchive, buildDebianPackage, type DebianPackage } from "./debian-package.js";
import { fetchNode } from "./node-release.js";
import { type PackageTreeOptions, writePackageTree } from "./package-tree.js";

const USAGE = `usage: npm run package [-- --out DIRECTORY] [--fast] [VARIANT...]

Builds packages of berth. Without a VARIANT, builds all of them:

  amd64, arm64    Debian package with its own Node.js
  all             Debian package that depends on Debian's nodejs
  tar-amd64, tar-arm64
                  archive with its own Node.js, to unpack below /

  --out DIRECTORY    directory for the results (default: build/package)
  --fast             compress the Debian packages less, to try them here

The results of the same commit have the same bytes.

examples:
  npm run package
  npm run package -- amd64 tar-amd64
`;

const run = promisify(execFile);
const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const NODE_CACHE = join(REPOSITORY, "node_modules/.cache/node-releases");

/** Packages that every host needs. etcd is recommended for servers, Docker for agents. */
const DEPENDS = [
  ...["debconf (>= 0.5) | debconf-2.0", "systemd | systemd-standalone-sysusers"],
  ...["iproute2", "iptables", "nftables"],
];
const RECOMMENDS = ["docker.io | docker-ce", "etcd-server", "conntrack", "wireguard-tools"];

interface BuildOptions {
  readonly tree: Omit<PackageTreeOptions, "node">;
  readonly out: string;
  readonly compression: DebianPackage["compression"];
}

interface Variant {
  readonly architecture: DebianPackage["architecture"];
  readonly format: "deb" | "tar";
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  amd64: { architecture: "amd64", format: "deb" },
  arm64: { architecture: "arm64", format: "deb" },
  all: { architecture: "all", format: "deb" },
  "tar-amd64": { architecture: "amd64", format: "tar" },
  "tar-arm64": { architecture: "arm64", format: "tar" },
};

/** Builds one variant and returns the path of the result. */
async function buildVariant(variant: Variant, { tree, out, compression }: BuildOptions): Promise<string> {
  const { architecture, format } = variant;
  const { version, date } = tree;
  const node = architecture === "all" ? undefined : await fetchNode(architecture, NODE_CACHE);
  const directory = await mkdtemp(join(tmpdir(), "berth-package-"));
  try {
    const root = join(directory, "root");
    await writePackageTree(root, { ...tree, node });
    const name = `berth_${version}_${architecture}`;
    const file = join(out, format === "deb" ? `${name}.deb` : `${name}.tar.xz`);
    const depends =
      node === undefined ? [...DEPENDS, "nodejs (>= 20.19)"] : ["libc6", "libstdc++6", ...DEPENDS];
    if (format === "tar") {
      await buildArchive(root, ".", date, file);
    } else {
      await buildDebianPackage(
        root,
        {
          version,
          architecture,
          depends,
          recommends: RECOMMENDS,
          date,
          compression,
          description: `usr/lib/berth/${version}/package`,
        },
        file,
      );
    }
    return file;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Returns the output of `--help` for commands that parse their own arguments, by command. */
async function readProgramHelp(): Promise<Map<string, string>> {
  const berth = join(REPOSITORY, "packages/cli/bin/berth.js");
  const texts = await Promise.all(
    Object.keys(SUBPROGRAMS).map(async (name): Promise<[string, string]> => {
      const { stdout } = await run(process.execPath, [berth, name, "--help"], {
        env: { PATH: process.env.PATH },
      });
      return [name, stdout];
    }),
  );
  return new Map(texts);
}

async function commitDate(): Promise<Date> {
  const { stdout } = await run("git", ["-C", REPOSITORY, "log", "-1", "--format=%ct"]);
  return new Date(Number(stdout) * 1_000);
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      out: { type: "string", default: "build/package" },
      fast: { type: "boolean", default: false },
      help: { type: "boolean", short: "h" },
    },
    allowPositionals: true,
  });
  const names = positionals.length > 0 ? positionals : Object.keys(VARIANTS);
  const unknown = names.filter((name) => !Object.hasOwn(VARIANTS, name));
  if (values.help || unknown.length > 0) {
    for (const name of unknown) console.error(`package: unknown variant "${name}"`);
    (unknown.length > 0 ? console.error : console.log)(USAGE);
    return unknown.length > 0 ? 2 : 0;
  }
  const out = resolve(REPOSITORY, values.out);
  await mkdir(out, { recursive: true });
  const tree = {
    repository: REPOSITORY,
    version: BERTH_VERSION,
    date: await commitDate(),
    program: createProgram(fakeCli()),
    programHelp: await readProgramHelp(),
    completionScripts: COMPLETION_SCRIPTS,
  };
  const compression = values.fast ? "gzip" : "xz";
  for (const name of names) {
    const variant = VARIANTS[name];
    if (variant !== undefined) console.log(await buildVariant(variant, { tree, out, compression }));
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
