// `npm run bench -- NAME [--json FILE] [--runs N]`: runs a benchmark. Each folder of test/bench with a main.ts is one.
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch } from "../deploy/setup/launch.mjs";
import { BENCH_PACKAGES } from "../deploy/setup.mjs";

const BENCH_ROOT = fileURLToPath(new URL("bench/", import.meta.url));

const names = readdirSync(BENCH_ROOT).filter((name) => existsSync(`${BENCH_ROOT}${name}/main.ts`));
const usage = `usage: npm run bench -- NAME [--json FILE] [--runs N]\n\nbenchmarks: ${names.join(", ")}`;
const [name, ...args] = process.argv.slice(2);

if (name === "--help" || name === "-h") {
  console.log(usage);
} else if (name === undefined || !names.includes(name)) {
  console.error(name === undefined ? usage : `bench: unknown benchmark "${name}"\n${usage}`);
  process.exitCode = 2;
} else {
  await launch({
    name: "bench",
    main: `${BENCH_ROOT}${name}/main.ts`,
    args,
    needs: { packages: BENCH_PACKAGES },
  });
}
