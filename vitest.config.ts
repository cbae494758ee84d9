import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { scaleTimeout } from "./deploy/lab/wait-until.js";

const SECOND_MS = scaleTimeout(1_000);

/** Lets Node.js load compiled packages: the test runner would transform each of their files for each worker. */
const COMPILED_PACKAGES = { deps: { external: [/\/(proto|packages\/[a-z-]+)\/dist\//] } };

/** Bundles the programs that tests start. */
const BUNDLED_PROGRAMS = ["test/harness/bundle-programs.ts"];

/** How long assertions of `expect.poll` are repeated. The default of one second is too short on a busy machine. */
const EXPECT = { poll: { timeout: 30 * SECOND_MS } };

/** Files that take minutes. */
const LONG_FILES = /\/(upgrade|backup|server-loss|benchmark[a-z-]*)\.test\.ts$/;

/**
 * Starts with the e2e tests and with the long files of each project. vitest starts with the largest files, and some
 * long ones are small. It mixes projects, but a worker process ends when its next file belongs to another project.
 */
class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

function rank({ moduleId, project }: TestSpecification): number {
  return (project.name === "e2e" ? 0 : 2) + (LONG_FILES.test(moduleId) ? 0 : 1);
}

/**
 * Whether each test file has a process of its own. Loading and optimizing the modules for each file took about 2 s of
 * CPU time. A file must restore what it changes in its process, such as environment variables.
 */
const ISOLATE = false;

/**
 * Four projects: unit (fast, without I/O), sim (a cluster in virtual time), integration (real etcd, sockets and kernel)
 * and e2e (real Docker hosts in the lab; needs root and Linux).
 */
export default defineConfig({
  test: {
    sequence: { sequencer: LongFilesFirst },
    projects: [
      {
        test: {
          name: "unit",
          expect: EXPECT,
          server: COMPILED_PACKAGES,
          include: [
            "proto/src/**/*.test.ts",
            "packages/*/src/**/*.test.ts",
            "test/{bench,conformance,fuzz,harness,vm}/**/*.test.ts",
          ],
          isolate: ISOLATE,
          // Property tests take seconds of CPU time, and more on a busy machine.
          testTimeout: 60 * SECOND_MS,
        },
      },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"] } },
      {
        test: {
          name: "integration",
          isolate: ISOLATE,
          expect: EXPECT,
          globalSetup: BUNDLED_PROGRAMS,
          server: COMPILED_PACKAGES,
          include: ["test/{integration,contract,browser}/**/*.test.ts"],
          testTimeout: 60 * SECOND_MS,
          hookTimeout: 60 * SECOND_MS,
        },
      },
      {
        test: {
          name: "e2e",
          isolate: ISOLATE,
          expect: EXPECT,
          globalSetup: BUNDLED_PROGRAMS,
          server: COMPILED_PACKAGES,
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120 * SECOND_MS,
          hookTimeout: 180 * SECOND_MS,
        },
      },
    ],
  },
});
