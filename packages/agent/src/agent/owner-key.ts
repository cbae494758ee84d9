import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/proto";
import type { StateDirectory } from "../runtime/state-directory.js";

const OWNER_KEY_FILE = "owner.key";
const KEY_BYTES = 32;
const KEY_PATTERN = /^[0-9a-f]{64}$/;

/**
 * Returns the key that proves which containers this agent created. Generates and stores it on the first start.
 *
 * @throws BerthError BERTH_INPUT_INVALID if the file does not contain a key
 */
export async function loadOrCreateOwnerKey(stateDirectory: StateDirectory): Promise<string> {
  const stored = (await stateDirectory.read(OWNER_KEY_FILE))?.trim();
  if (stored === undefined) {
    const key = randomBytes(KEY_BYTES).toString("hex");
    await stateDirectory.write(OWNER_KEY_FILE, `${key}\n`);
    return key;
  }
  if (KEY_PATTERN.test(stored)) return stored;
  // A new key would leave every container of this agent running without an owner.
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${stateDirectory.pathOf(OWNER_KEY_FILE)} does not contain a key; restore the file, or remove it together with the containers of this host`,
  });
}
