// `npm run demo`: installs what the demo needs, then runs deploy/demo/main.ts.
import { fileURLToPath } from "node:url";
import { launch } from "./setup/launch.mjs";
import { LAB_PACKAGES, VM_LAB_PACKAGES } from "./setup.mjs";

const args = process.argv.slice(2);

await launch({
  name: "demo",
  main: fileURLToPath(new URL("demo/main.ts", import.meta.url)),
  args,
  needs: { packages: args.includes("--vm") ? VM_LAB_PACKAGES : LAB_PACKAGES },
});
