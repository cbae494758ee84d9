// `npm run lab -- …`: makes the machine ready, then hands over to deploy/lab/main.ts.
import { fileURLToPath } from "node:url";
import { launch } from "./setup/launch.mjs";
import { LAB_PACKAGES } from "./setup.mjs";

const args = process.argv.slice(2);
// Reading about the lab needs no Docker and no root.
const isHelp = args.length === 0 || args.includes("--help") || args.includes("-h");

await launch({
  name: "lab",
  main: fileURLToPath(new URL("lab/main.ts", import.meta.url)),
  args,
  needs: isHelp ? { packages: [], build: false } : { packages: LAB_PACKAGES },
});
