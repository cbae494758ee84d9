import { parseArgs } from "node:util";
import { reportFailure } from "./cli/report-failure.js";
import { runMutants } from "./cli/run-mutants.js";
import { runSeeds } from "./cli/run-seeds.js";

const USAGE = `usage: npm run sim -- [--seeds N] [--from N] [--for SECONDS] [--jobs N] [--json FILE]
       npm run sim -- --seed N [--trace] [--shrink]
       npm run sim -- --mutants [NAME...] [--seeds N] [--json FILE]

  --seeds N    simulate N histories (default 1000), starting with seed --from (default 1)
    --for N      start no new histories after N seconds
  --jobs N     number of processes (default 2)
  --json FILE  write the results to a file
  --seed N     simulate one history and show its violations
  --trace      print the whole trace
    --shrink     remove events that are not needed for the failure
  --mutants    plant known bugs, one at a time, and show which rule detects each`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    json: { type: "string" },
    for: { type: "string" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    shrink: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

const range = { from: Number(values.from), count: Number(values.seeds), jobs: Number(values.jobs) };
// Exit handlers remove temporary files.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
if (values.help) console.log(USAGE);
else if (values.seed !== undefined) {
  process.exitCode = await reportFailure(Number(values.seed), {
    isTraced: values.trace,
    isShrunk: values.shrink,
  });
} else if (values.mutants) {
  process.exitCode = await runMutants({ ...range, json: values.json, only: positionals });
} else
  process.exitCode = await runSeeds({
    ...range,
    json: values.json,
    ...(values.for === undefined ? {} : { forMs: Number(values.for) * 1_000 }),
  });
