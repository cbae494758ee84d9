// A server as a process of its own, for tests that kill it: node server-process.mjs ARGUMENTS…
import { main } from "../../packages/control-plane/dist/main.js";

process.exitCode = await main(process.argv.slice(2));
