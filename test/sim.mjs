// `npm run sim -- --seeds 10000`: the whole cluster in one process, on virtual time, with everything going wrong.
import { fileURLToPath } from "node:url";
import { launch } from "../deploy/setup/launch.mjs";

const MAIN = fileURLToPath(new URL("sim/main.ts", import.meta.url));

await launch({ name: "sim", main: MAIN, args: process.argv.slice(2), needs: { packages: [] } });
