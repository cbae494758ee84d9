/** One reason why a service spec or a network spec is invalid. */
export interface Violation {
  /** Path of the field in the spec: `task.container.mounts[0].target`. */
  readonly path: string;
  /** The problem and how to fix it, for users. */
  readonly message: string;
}

/** Adds a violation to the result of a validation. */
export type Report = (path: string, message: string) => void;
