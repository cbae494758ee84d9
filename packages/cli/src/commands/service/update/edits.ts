import type { Edit } from "./edit.js";
import { HEALTH_EDITS } from "./edits/health-edits.js";
import { LABEL_EDITS } from "./edits/label-edits.js";
import { LOGGING_EDITS } from "./edits/logging-edits.js";
import { MOUNT_EDITS } from "./edits/mount-edits.js";
import { NETWORK_EDITS } from "./edits/network-edits.js";
import { PLACEMENT_EDITS } from "./edits/placement-edits.js";
import { PROCESS_EDITS } from "./edits/process-edits.js";
import { RESOURCE_EDITS } from "./edits/resource-edits.js";
import { ROLLOUT_EDITS } from "./edits/rollout-edits.js";
import { SECURITY_EDITS } from "./edits/security-edits.js";
import type { UpdateFlagName } from "./flags.js";

/** What each flag of `berth service update` does. */
export const EDITS: Readonly<Record<UpdateFlagName, Edit>> = {
  ...PROCESS_EDITS,
  ...LABEL_EDITS,
  ...MOUNT_EDITS,
  ...NETWORK_EDITS,
  ...PLACEMENT_EDITS,
  ...RESOURCE_EDITS,
  ...ROLLOUT_EDITS,
  ...HEALTH_EDITS,
  ...LOGGING_EDITS,
  ...SECURITY_EDITS,
};
