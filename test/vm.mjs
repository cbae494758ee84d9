// `node test/vm.mjs -- COMMAND`: runs a command in this checkout under Debian's kernel, in an emulated machine.
import { fileURLToPath } from "node:url";
import { launch } from "../deploy/setup/launch.mjs";
import { VM_PACKAGES } from "../deploy/setup.mjs";

const MAIN = fileURLToPath(new URL("vm/main.ts", import.meta.url));

await launch({ name: "vm", main: MAIN, args: process.argv.slice(2), needs: { packages: VM_PACKAGES } });
