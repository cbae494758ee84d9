// `npm run bench -- NAME`: runs test/bench/NAME/main.ts. `npm run bench -- all` runs all benchmarks.
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch } from "../deploy/setup/launch.mjs";
import { BENCH_PACKAGES } from "../deploy/setup.mjs";

const BENCH_ROOT = fileURLToPath(new URL("bench/", import.meta.url));

const names = readdirSync(BENCH_ROOT).filter((name) => existsSync(`${BENCH_ROOT}${name}/main.ts`));
const usage = `usage: npm run bench -- NAME [--json FILE] [--runs N] [--smoke]
       npm run bench -- all [NAME...] [--runs N] [--smoke] [--update-docs]

    --smoke  use the smallest size, which only shows that the benchmark works

benchmarks: ${names.join(", ")}`;
const [name, ...args] = process.argv.slice(2);

if (name === "--help" || name === "-h") {
  console.log(usage);
} else if (name !== undefined && (name === "all" || names.includes(name))) {
  const main = name === "all" ? `${BENCH_ROOT}run-all.ts` : `${BENCH_ROOT}${name}/main.ts`;
  await launch({ name: "bench", main, args, needs: { packages: BENCH_PACKAGES } });
} else {
  console.error(name === undefined ? usage : `bench: unknown benchmark "${name}"\n${usage}`);
  process.exitCode = 2;
}
