import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/proto";
import type { Disk } from "../runtime/disk.js";

/** 25 digits in base 36 (129 bits), the format of Swarm's IDs. */
const ID_LENGTH = 25;
const ID_BYTES = 17;
const FILE = "node-id";
const ID_PATTERN = /^[0-9a-z]{25}$/;

/**
 * Returns the ID of this node from the data directory. Generates and stores one at the first start.
 * @throws BerthError BERTH_INPUT_INVALID when the file does not contain a node ID
 */
export async function loadOrCreateNodeId(disk: Disk): Promise<string> {
  const stored = await disk.read(FILE);
  if (stored === undefined) {
    const id = newId();
    await disk.write(FILE, `${id}\n`);
    return id;
  }
  if (ID_PATTERN.test(stored.trim())) return stored.trim();
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${disk.pathOf(FILE)} does not contain a node ID: restore the file, or remove it to join as a new node`,
  });
}

function newId(): string {
  const number = BigInt(`0x${randomBytes(ID_BYTES).toString("hex")}`);
  return number.toString(36).padStart(ID_LENGTH, "0").slice(-ID_LENGTH);
}
