import { MAX_REPLICAS } from "@berth/proto";
import { type Cursor, readInteger, readOneOf } from "../tree/cursor.js";
import type { ModeKey, ServiceDraft } from "./service-draft.js";

const REPLICA_RANGE = { min: 0, max: MAX_REPLICAS };
const MODE_KEYS: readonly ModeKey[] = ["replicated", "global", "replicated-job", "global-job"];

/** Reads `scale` or `deploy.replicas`. If both are set, they must be equal. */
export function readReplicas(cursor: Cursor, { mode, origins }: ServiceDraft): void {
  if (cursor.diagnostics.hasErrorAt(cursor)) return;
  const replicas = readInteger(cursor, REPLICA_RANGE);
  if (replicas === undefined) return;
  // The rule for `scale` runs first.
  const scale = mode.replicas ?? replicas;
  if (scale !== replicas) {
    cursor.diagnostics.error(cursor, `${replicas} replicas conflict with scale: ${scale}`);
  }
  mode.replicas = replicas;
  origins.set("replicated", cursor);
  origins.set("replicated_job", cursor);
}

/** Reads `deploy.mode`. Must run after `readReplicas`. */
export function readMode(cursor: Cursor, { mode }: ServiceDraft): void {
  mode.key = readOneOf(cursor, MODE_KEYS);
  const isGlobal = mode.key === "global" || mode.key === "global-job";
  if (isGlobal && mode.replicas !== undefined) {
    cursor.diagnostics.error(cursor, `a ${mode.key} service runs one task per node and cannot have replicas`);
  }
}
