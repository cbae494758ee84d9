// `npm run lab -- …`: installs what the lab needs, then runs deploy/lab/main.ts.
import { fileURLToPath } from "node:url";
import { launch } from "./setup/launch.mjs";
import { LAB_PACKAGES, VM_LAB_PACKAGES } from "./setup.mjs";

const args = process.argv.slice(2);
// Help needs neither Docker nor root.
const isHelp = args.length === 0 || args.includes("--help") || args.includes("-h");

const packages = args.includes("--vm") ? VM_LAB_PACKAGES : LAB_PACKAGES;

await launch({
  name: "lab",
  main: fileURLToPath(new URL("lab/main.ts", import.meta.url)),
  args,
  needs: isHelp ? { packages: [], build: false } : { packages },
});
