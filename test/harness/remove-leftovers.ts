// Removes what ended test processes left: labs, etcd processes and temporary directories. `npm test` runs it at its
// end.
import { removeAbandonedTestLabs } from "../../deploy/lab/teardown.js";
import { removeLeftoverEtcds } from "./etcd.js";
import { removeLeftoverDirectories } from "./temporary-directory.js";

// Ctrl-C in a terminal reaches this process too, but the clean-up must complete.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);

removeLeftoverEtcds();
await removeAbandonedTestLabs();
removeLeftoverDirectories();
