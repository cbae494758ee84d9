// Runs `berth server` in a separate process, for tests that kill it: node server-process.mjs ARGUMENTS…
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

process.argv.splice(2, 0, "server");
await import(join(process.env.BERTH_TEST_BUNDLE || ROOT, "packages/cli/bin/berth.js"));
