import type { Lookup } from "./text/template.js";

/** What a Compose file may ask of the machine that reads it. The only way out of this folder's pure functions. */
export interface Project {
  /** Name of the stack, in front of the names of its services and volumes. */
  readonly stack: string;
  /** Folder of the first file: relative paths start here. Absolute. */
  readonly directory: string;
  readonly homeDirectory: string;
  /** The caller's environment over the `.env` file. */
  readonly lookup: Lookup;
  /** Undefined when there is no such file. @throws BerthError when it cannot be read. */
  readonly readFile: (path: string) => Uint8Array | undefined;
}
