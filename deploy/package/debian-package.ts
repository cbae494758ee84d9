// Builds a Debian package or a tar archive from a directory. Builds are reproducible: the same commit gives the same
// bytes.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const run = promisify(execFile);
/** Timeout of the build of a package. */
const BUILD_TIMEOUT_MS = 10 * 60_000;
const BYTES_PER_KIB = 1024;
const SCRIPTS = fileURLToPath(new URL("scripts/", import.meta.url));
/** Scripts that dpkg runs when the package is installed, upgraded or removed. */
const MAINTAINER_SCRIPTS = ["postinst", "prerm", "postrm"];
/** File with the debconf questions that the scripts ask. */
const TEMPLATES = "templates";
const MAINTAINER = "berth maintainers <maintainers@berth.invalid>";

/** A package's metadata, for its control file and changelog. */
export interface DebianPackage {
  readonly version: string;
  /** `all` for a package without architecture-dependent programs. */
  readonly architecture: "amd64" | "arm64" | "all";
  readonly depends: readonly string[];
  readonly recommends: readonly string[];
  /** Modification time of all files, and date of the changelog entry. */
  readonly date: Date;
  /**
   * Where the package describes itself, relative to its root, so that an installed berth can build it again
   * (proto/src/package).
   */
  readonly description: string;
  /** `xz` for a small package, `gzip` for one that is built within seconds. */
  readonly compression: "xz" | "gzip";
}

/** Options of dpkg-deb for each compression. */
const COMPRESSION_OPTIONS: Readonly<Record<DebianPackage["compression"], readonly string[]>> = {
  xz: ["-Zxz"],
  gzip: ["-Zgzip", "-z1"],
};

/**
 * Adds the control files to a package's directory and builds the package.
 *
 * @param file path of the .deb to write
 */
export async function buildDebianPackage(root: string, details: DebianPackage, file: string): Promise<void> {
  await writeDebianChangelog(root, details);
  await setModes(root);
  const files = await listFiles(root);
  const sizes = await Promise.all(files.map(async (path) => (await stat(path)).size));
  const kib = Math.ceil(sizes.reduce((total, size) => total + size, 0) / BYTES_PER_KIB);
  const control = join(root, "DEBIAN");
  await mkdir(control);
  await writeFile(join(control, "control"), controlText(details, kib));
  await writeFile(join(control, "conffiles"), conffilesText(files.map((path) => relative(root, path))));
  for (const name of [...MAINTAINER_SCRIPTS, TEMPLATES]) {
    await writeFile(join(control, name), await readFile(join(SCRIPTS, name)));
    await chmod(join(control, name), name === TEMPLATES ? 0o644 : 0o755);
  }
  const sums = await writeDescription(root, details.description);
  await writeFile(join(control, "md5sums"), sums);
  await setModes(root);
  const compression = COMPRESSION_OPTIONS[details.compression];
  await run("dpkg-deb", ["--root-owner-group", ...compression, "--build", root, file], {
    env: { ...process.env, SOURCE_DATE_EPOCH: epochOf(details.date) },
    timeout: BUILD_TIMEOUT_MS,
  });
}

/** Writes the description of the package, and returns the checksums of all files. */
async function writeDescription(root: string, path: string): Promise<string> {
  const description = join(root, path);
  await mkdir(description, { recursive: true });
  await cp(join(root, "DEBIAN"), join(description, "control"), { recursive: true });
  await cp(join(root, "etc"), join(description, "files/etc"), { recursive: true });
  const links = await listLinks(root);
  await writeFile(join(description, "links"), links.map((line) => `${line}\n`).join(""));
  const files = (await listFiles(root)).filter((file) => !file.startsWith(join(root, "DEBIAN/")));
  const sums = await Promise.all(
    files.map(async (file) => `${md5(await readFile(file))}  ${relative(root, file)}\n`),
  );
  const text = sums.join("");
  await writeFile(join(description, "md5sums"), text);
  return text;
}

/**
 * Packs a directory into a compressed tar archive.
 *
 * @param prefix path of the directory in the archive
 */
export async function buildArchive(root: string, prefix: string, date: Date, file: string): Promise<void> {
  await setModes(root);
  const reproducible = [
    "--sort=name",
    `--mtime=@${epochOf(date)}`,
    "--owner=0",
    "--group=0",
    "--numeric-owner",
  ];
  const args = [...reproducible, `--transform=flags=r;s,^\\.,${prefix},`, "-C", root, "-cJf", file, "."];
  await run("tar", args, { timeout: BUILD_TIMEOUT_MS });
}

function controlText(details: DebianPackage, installedKib: number): string {
  const { version, architecture, depends, recommends } = details;
  return `Package: berth
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedKib}
Depends: ${depends.join(", ")}
Recommends: ${recommends.join(", ")}
Section: admin
Priority: optional
Description: container orchestrator for Docker Compose stacks
 berth deploys Docker Compose stacks across many Docker hosts and keeps them
 running when hosts fail. A control plane stores the desired state in etcd and
 places replicas on hosts; an agent on each host manages its containers and
 balances published ports.
 .
 This package contains the server, the agent and the command line.
`;
}

/** Returns the list of configuration files. dpkg keeps an administrator's changes to these files. */
function conffilesText(paths: readonly string[]): string {
  return paths
    .filter((path) => path.startsWith("etc/"))
    .map((path) => `/${path}\n`)
    .join("");
}

async function writeDebianChangelog(root: string, { version, date }: DebianPackage): Promise<void> {
  const entry = `berth (${version}) unstable; urgency=medium

  * See changelog.gz.

 -- ${MAINTAINER}  ${date.toUTCString().replace("GMT", "+0000")}
`;
  await writeFile(join(root, "usr/share/doc/berth/changelog.Debian.gz"), gzipSync(entry, { level: 9 }));
}

/** Sets the file modes that Debian requires, independent of the umask. */
async function setModes(root: string): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
  await chmod(root, 0o755);
}

async function listFiles(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Returns a line with path and target for each symbolic link. */
async function listLinks(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isSymbolicLink())
    .map((entry) => join(entry.parentPath, entry.name));
  const lines = paths.sort().map(async (path) => `${relative(root, path)} ${await readlink(path)}`);
  return Promise.all(lines);
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function epochOf(date: Date): string {
  return String(Math.floor(date.getTime() / 1_000));
}
