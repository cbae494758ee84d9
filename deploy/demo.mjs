// `npm run demo`: installs what the demo needs, then runs deploy/demo/main.ts.
import { fileURLToPath } from "node:url";
import { launch } from "./setup/launch.mjs";
import { LAB_PACKAGES } from "./setup.mjs";

await launch({
  name: "demo",
  main: fileURLToPath(new URL("demo/main.ts", import.meta.url)),
  args: process.argv.slice(2),
  needs: { packages: LAB_PACKAGES },
});
