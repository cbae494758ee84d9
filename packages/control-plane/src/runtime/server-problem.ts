/** A problem of this server's host that its administrator has to solve. */
export interface ServerProblem {
  /** What is wrong, and what to do. */
  readonly message: string;
  /** Whether this server cannot store anything because of it. */
  readonly isCritical: boolean;
}
