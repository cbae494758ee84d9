/** A problem of this server's host that its administrator has to solve. */
export interface ServerProblem {
  /** The problem and its remedy. */
  readonly message: string;
  /** Whether this server cannot store anything because of it. */
  readonly isCritical: boolean;
}
