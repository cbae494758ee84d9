// Runs a server in a separate process, for tests that kill it: node server-process.mjs ARGUMENTS…
import { main } from "../../packages/control-plane/dist/main.js";

process.exitCode = await main(process.argv.slice(2));
