// `npm run package -- …`: compiles the packages, then runs deploy/package/main.ts.
import { fileURLToPath } from "node:url";
import { launch } from "./setup/launch.mjs";

await launch({
  name: "package",
  main: fileURLToPath(new URL("package/main.ts", import.meta.url)),
  args: process.argv.slice(2),
  needs: { packages: [] },
});
