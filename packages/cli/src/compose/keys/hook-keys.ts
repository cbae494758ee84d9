import { Hook } from "@berth/proto";
import { type Cursor, readFlag, readItems, readKeyValues, readText, readTexts } from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { rejectKey } from "./unsupported-keys.js";

/**
 * Rules for the keys `post_start` and `pre_stop` of a service: commands that run in a container after it starts and before
 * it stops.
 */
export const SERVICE_HOOK_KEYS: KeyTable<ServiceDraft> = {
  post_start: hooksRule("post_start", (draft, hooks) => {
    draft.container.postStart = hooks;
  }),
  pre_stop: hooksRule("pre_stop", (draft, hooks) => {
    draft.container.preStop = hooks;
  }),
  pre_start: rejectKey(
    "init containers are not supported; define a separate service, and wait for it with depends_on and service_completed_successfully",
  ),
};

function hooksRule(
  field: "post_start" | "pre_stop",
  write: (draft: ServiceDraft, hooks: Hook[]) => void,
): KeyRule<ServiceDraft> {
  return (cursor, draft) => {
    const path = `task.container.${field}`;
    draft.origins.set(path, cursor);
    const hooks = (readItems(cursor) ?? []).map((item, index) => {
      draft.origins.set(`${path}[${index}]`, item);
      return readHook(item);
    });
    write(draft, hooks);
  };
}

function readHook(cursor: Cursor): Hook {
  const hook = Hook.fromPartial({});
  applyKeys(cursor, HOOK_KEYS, hook);
  return hook;
}

/** Rules for the keys of one command. */
const HOOK_KEYS: KeyTable<Hook> = {
  command: rule(readTexts, (hook, command) => {
    hook.command = [...command];
  }),
  user: rule(readText, (hook, user) => {
    hook.user = user;
  }),
  privileged: rule(readFlag, (hook, privileged) => {
    hook.privileged = privileged;
  }),
  working_dir: rule(readText, (hook, path) => {
    hook.workingDir = path;
  }),
  // As for containers, a variable without a value is not set.
  environment: rule(readKeyValues, (hook, variables) => {
    hook.env = [...variables].flatMap(([name, { value }]) => (value === null ? [] : [`${name}=${value}`]));
  }),
};
