import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BERTH_PATH } from "../../deploy/lab/berth-commands.js";
import { REPO_ROOT } from "../../deploy/lab/paths.js";

/** Directory with builds of other releases, by commit. They are kept, because a build takes half a minute. */
const CACHE = "/var/cache/berth-releases";

/** The parts of the repository that a build needs. */
const SOURCES = ["proto", "packages", "package.json", "tsconfig.json", "tsconfig.base.json"];

/** Scope of the repository's own packages, which a build takes from its commit instead of from this checkout. */
const OWN_SCOPE = "@berth";

const PREVIOUS_FILE = fileURLToPath(new URL("previous-release.json", import.meta.url));

/** Path of the program in a checkout or a build. */
const PROGRAM = "packages/cli/bin/berth.js";

export interface Release {
  /** For example "0.1.0". */
  readonly release: string;
  /** Path of the program `berth`. */
  readonly program: string;
}

/** The release of this checkout. Tests run its bundle. */
export function currentRelease(): Release {
  return { ...describe(REPO_ROOT), program: BERTH_PATH };
}

/**
 * Builds the previous release, or returns its cached build. BERTH_PREVIOUS overrides the commit in
 * previous-release.json.
 *
 * @throws Error that says what to do if the commit is missing, as in a shallow clone without network access
 */
export function previousRelease(): Release {
  const { commit }: { readonly commit: string } = JSON.parse(readFileSync(PREVIOUS_FILE, "utf8"));
  return buildCommit(process.env.BERTH_PREVIOUS || commit);
}

function buildCommit(ref: string): Release {
  const commit = findCommit(ref);
  const directory = join(CACHE, commit);
  mkdirSync(CACHE, { recursive: true });
  if (existsSync(directory)) {
    if (hasDependencies(directory)) return describe(directory);
    rmSync(directory, { recursive: true, force: true });
  }
  const draft = mkdtempSync(join(CACHE, "draft-"));
  try {
    run("sh", ["-c", `git archive ${commit} ${SOURCES.join(" ")} | tar -x -C ${draft}`]);
    linkDependencies(draft);
    run(process.execPath, [join(REPO_ROOT, "node_modules/typescript/bin/tsc"), "-b", draft]);
    // The agent runs the ingress process as an unprivileged user, which must be able to read the build.
    chmodSync(draft, 0o755);
    publish(draft, directory);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return describe(directory);
}

/** Returns whether the checkout whose dependencies a build uses still exists. */
function hasDependencies(directory: string): boolean {
  return readdirSync(join(directory, "node_modules")).every((name) =>
    existsSync(join(directory, "node_modules", name)),
  );
}

/** Moves a complete build into the cache. Another process may have been faster. */
function publish(draft: string, directory: string): void {
  try {
    renameSync(draft, directory);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

/** Returns the hash of a commit. Fetches the commit if the clone is shallow. */
function findCommit(ref: string): string {
  const found = git(["rev-parse", "--verify", "--quiet", `${ref}^{commit}`]);
  if (found.status === 0) return found.stdout.trim();
  const fetched = git(["fetch", "--depth=1", "origin", ref]);
  if (fetched.status === 0) return git(["rev-parse", "FETCH_HEAD^{commit}"]).stdout.trim();
  throw new Error(
    `cannot build the previous release: this clone has no commit ${ref}, and fetching it failed: ${fetched.stderr.trim()}; run "git fetch --unshallow", or set BERTH_PREVIOUS to a commit of that release`,
  );
}

/** Links the build to this checkout's dependencies, and to its own packages. */
function linkDependencies(directory: string): void {
  const installed = join(REPO_ROOT, "node_modules");
  const target = join(directory, "node_modules");
  mkdirSync(join(target, OWN_SCOPE), { recursive: true });
  for (const name of readdirSync(installed)) {
    if (name !== OWN_SCOPE) symlinkSync(join(installed, name), join(target, name));
  }
  // Relative links, because the directory is renamed once it is complete.
  symlinkSync("../../proto", join(target, OWN_SCOPE, "proto"));
  for (const name of readdirSync(join(directory, "packages"))) {
    symlinkSync(`../../packages/${name}`, join(target, OWN_SCOPE, name));
  }
}

function describe(directory: string): Release {
  const { version }: { readonly version: string } = JSON.parse(
    readFileSync(join(directory, "package.json"), "utf8"),
  );
  return { release: version, program: join(directory, PROGRAM) };
}

function git(args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync("git", args, { cwd: REPO_ROOT, encoding: "utf8" });
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: REPO_ROOT, encoding: "utf8" });
  if (status === 0) return;
  throw new Error(`${command} ${args.join(" ")} failed (exit code ${status}):\n${stdout}${stderr}`);
}
