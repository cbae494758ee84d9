import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/proto";
import type { Disk } from "../runtime/disk.js";

/** 25 digits of base 36, as Swarm's ids: 129 bits, never twice. */
const ID_LENGTH = 25;
const ID_BYTES = 17;
const FILE = "node-id";
const ID_PATTERN = /^[0-9a-z]{25}$/;

/**
 * Who this node is: made up at the first start, the same ever after.
 * @throws BerthError BERTH_INPUT_INVALID when the file on disk holds something else.
 */
export async function nodeId(disk: Disk): Promise<string> {
  const known = await disk.read(FILE);
  if (known === undefined) {
    const id = newId();
    await disk.write(FILE, `${id}\n`);
    return id;
  }
  if (ID_PATTERN.test(known.trim())) return known.trim();
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${disk.pathOf(FILE)} does not hold a node id; restore it, or remove it to join as a new node`,
  });
}

function newId(): string {
  const number = BigInt(`0x${randomBytes(ID_BYTES).toString("hex")}`);
  return number.toString(36).padStart(ID_LENGTH, "0").slice(-ID_LENGTH);
}
