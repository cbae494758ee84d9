import { randomBytes } from "node:crypto";
import { TEST_LAB_PREFIX } from "./lab-phase.js";

/** A name for a lab that belongs to this process: unused, so that test runs go side by side, and swept if it dies. */
export function testLabName(): string {
  return `${TEST_LAB_PREFIX}${randomBytes(4).toString("hex")}`;
}
