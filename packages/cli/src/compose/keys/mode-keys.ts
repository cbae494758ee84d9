import { type Cursor, readInteger, readOneOf } from "../tree/cursor.js";
import type { ModeWord, ServiceDraft } from "./service-draft.js";

const REPLICAS = { min: 0, max: 100_000 };
const MODES: readonly ModeWord[] = ["replicated", "global", "replicated-job", "global-job"];

/** `scale` and `deploy.replicas`: they may both be there, and must agree. */
export function readReplicas(cursor: Cursor, { mode, origins }: ServiceDraft): void {
  const replicas = readInteger(cursor, REPLICAS);
  if (replicas === undefined) return;
  const earlier = mode.replicas ?? replicas;
  if (earlier !== replicas) cursor.diagnostics.error(cursor, `says ${replicas}, but scale says ${earlier}`);
  mode.replicas = replicas;
  origins.set("replicated", cursor);
  origins.set("replicated_job", cursor);
}

/** `deploy.mode`. Comes after the replicas. */
export function readMode(cursor: Cursor, { mode }: ServiceDraft): void {
  mode.word = readOneOf(cursor, MODES);
  const isOncePerNode = mode.word === "global" || mode.word === "global-job";
  if (isOncePerNode && mode.replicas !== undefined) {
    cursor.diagnostics.error(cursor, `a ${mode.word} service runs once on each node: it has no replicas`);
  }
}
