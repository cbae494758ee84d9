// `npm run fuzz -- dns-query --for 60`: runs parsers with mutated inputs, guided by code coverage.
import { fileURLToPath } from "node:url";
import { launch } from "../deploy/setup/launch.mjs";

const MAIN = fileURLToPath(new URL("fuzz/main.ts", import.meta.url));

await launch({ name: "fuzz", main: MAIN, args: process.argv.slice(2), needs: { packages: [] } });
