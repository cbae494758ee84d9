/** One thing that is wrong with a spec. */
export interface Violation {
  /** Where, in the words of the spec: `task.container.mounts[0].target`. */
  readonly path: string;
  /** What is wrong and what would be right, for a person. */
  readonly message: string;
}

/** How the checks in this folder say what they found. */
export type Report = (path: string, message: string) => void;
