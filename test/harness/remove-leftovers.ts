// Removes the labs, etcd processes and temporary directories that killed test processes left behind. `npm test` runs
// this program at its end.
import { removeAbandonedTestLabs } from "../../deploy/lab/teardown.js";
import { removeLeftoverEtcds } from "./etcd.js";
import { removeLeftoverDirectories } from "./temporary-directory.js";

// Ctrl-C in a terminal also reaches this process, but the clean-up must complete.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);

removeLeftoverEtcds();
await removeAbandonedTestLabs();
removeLeftoverDirectories();
