// Part of `npm run package`: bundles the programs with their dependencies, so that they start fast without
// node_modules.
import { readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import protobuf from "protobufjs";
import { type Plugin, rolldown } from "rolldown";
import { buildPage } from "../../packages/web/build.mjs";

/**
 * The programs' entry points by their names in the bundle. The agent starts the ingress process from entry.js beside
 * its own code.
 */
const ENTRY_POINTS = {
  berth: "packages/cli/bin/berth.js",
  entry: "packages/agent/dist/dataplane/entry.js",
};

/** Paths of the bundled source files, relative to the repository. */
export type BundledFiles = readonly string[];

/** Where servers and `berth ui` look for the web UI, beside their own code. */
const PAGE_DIRECTORY = "web";

/**
 * Bundles the compiled packages into a directory, with the web UI. Returns the paths of the source files that the
 * bundle contains.
 */
export async function writeBundle(repository: string, directory: string): Promise<BundledFiles> {
  const bundle = await rolldown({
    cwd: repository,
    input: ENTRY_POINTS,
    platform: "node",
    plugins: [withoutSsh(), inlineEtcdProtocol(repository)],
  });
  try {
    const { output } = await bundle.write({
      dir: directory,
      format: "esm",
      entryFileNames: "[name].js",
      // Named by content, so that a rebuild of the same sources has the same file names.
      chunkFileNames: "[name]-[hash].js",
    });
    const page = await buildPage(join(directory, PAGE_DIRECTORY));
    const paths = output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
    return [...new Set([...paths.map((path) => relative(repository, path)), ...page])].sort();
  } finally {
    await bundle.close();
  }
}

/** Omits ssh2, which dockerode needs only to reach Docker over SSH. berth uses Docker's unix socket. */
function withoutSsh(): Plugin {
  const id = "\0without-ssh";
  return {
    name: "without-ssh",
    resolveId: (source) => (source === "ssh2" ? id : null),
    load: (source) => (source === id ? "module.exports = {};" : null),
  };
}

/** Matches the call with which etcd3 loads its protocol. */
const LOAD_PROTOCOL = /loadSync\)\(`\$\{__dirname\}\/\.\.\/proto\/rpc\.proto`/;

/** Inlines etcd's protocol into the bundle. etcd3 would otherwise parse a .proto file beside its code at each start. */
function inlineEtcdProtocol(repository: string): Plugin {
  return {
    name: "inline-etcd-protocol",
    async load(path) {
      if (!/[/\\]etcd3[/\\]lib[/\\]connection-pool\.js$/.test(path)) return null;
      const source = await readFile(path, "utf8");
      if (!LOAD_PROTOCOL.test(source)) {
        throw new Error(
          `${relative(repository, path)} does not load its protocol as expected; see bundle.ts`,
        );
      }
      const protocol = loadProtocol(join(dirname(path), "../proto/rpc.proto"));
      return source.replace(LOAD_PROTOCOL, () => `fromJSON)(${JSON.stringify(protocol)}`);
    },
  };
}

/**
 * Converts a .proto file and its imports to protobufjs's JSON, with the field names that etcd3 expects. Reads the imports
 * one after the other: the JSON has them in the order in which they arrive, and each build must have the same bytes.
 */
function loadProtocol(file: string): protobuf.INamespace {
  return new protobuf.Root().loadSync(file, { keepCase: true }).toJSON();
}
