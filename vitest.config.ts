import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { scaleTimeout } from "./deploy/lab/wait-until.js";

const SECOND_MS = scaleTimeout(1_000);

/** Lets Node.js load compiled packages: the test runner would transform each of their files for each worker. */
const COMPILED_PACKAGES = { deps: { external: [/\/(proto|packages\/[a-z-]+)\/dist\//] } };

/** Starts with the benchmarks: vitest starts with the largest files, and these take minutes although they are small. */
class BenchmarksFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isBenchmark = ({ moduleId }: TestSpecification): boolean => moduleId.includes("/benchmark");
    return [...sorted.filter(isBenchmark), ...sorted.filter((file) => !isBenchmark(file))];
  }
}

/**
 * Four projects: unit (fast, without I/O), sim (a cluster in virtual time), integration (real etcd, sockets and kernel)
 * and e2e (real Docker hosts in the lab; needs root and Linux).
 */
export default defineConfig({
  test: {
    sequence: { sequencer: BenchmarksFirst },
    projects: [
      {
        test: {
          name: "unit",
          server: COMPILED_PACKAGES,
          include: [
            "proto/src/**/*.test.ts",
            "packages/*/src/**/*.test.ts",
            "test/{bench,conformance,fuzz,harness,vm}/**/*.test.ts",
          ],
          // Share modules between files: loading them for each of 230 files took most of the time.
          isolate: false,
          // Property tests take seconds of CPU time, and more on a busy machine.
          testTimeout: 60 * SECOND_MS,
        },
      },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"] } },
      {
        test: {
          name: "integration",
          server: COMPILED_PACKAGES,
          include: ["test/{integration,contract}/**/*.test.ts"],
          testTimeout: 60 * SECOND_MS,
          hookTimeout: 60 * SECOND_MS,
        },
      },
      {
        test: {
          name: "e2e",
          server: COMPILED_PACKAGES,
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120 * SECOND_MS,
          hookTimeout: 180 * SECOND_MS,
        },
      },
    ],
  },
});
