// Starts the worker in TypeScript: Node.js does not pass the loader of `--import tsx` on to worker threads.
import { register } from "tsx/esm/api";

register();
await import("./worker.ts");
