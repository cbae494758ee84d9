/** A violation of a spec's rules. */
export interface Violation {
  /** Path of the field in the spec: `task.container.mounts[0].target`. */
  readonly path: string;
  /** What is wrong, and what would be valid. Shown to users. */
  readonly message: string;
}

/** Reports a violation. */
export type Report = (path: string, message: string) => void;
