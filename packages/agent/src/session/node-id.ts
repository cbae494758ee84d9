import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { atomicWrite } from "./atomic-write.js";

/** 25 digits of base 36, as Swarm's ids: 129 bits, never twice. */
const ID_LENGTH = 25;
const ID_BYTES = 17;
const ID_PATTERN = /^[0-9a-z]{25}$/;

/**
 * Who this node is: made up at the first start, the same ever after. The data directory must be there.
 * @throws BerthError BERTH_INPUT_INVALID when the file in the data directory holds something else.
 */
export async function nodeId(dataDir: string): Promise<string> {
  const path = join(dataDir, "node-id");
  const known = await readIfThere(path);
  if (known === undefined) {
    const id = newId();
    await atomicWrite(path, `${id}\n`);
    return id;
  }
  if (ID_PATTERN.test(known.trim())) return known.trim();
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${path} does not hold a node id; restore it, or remove it to join as a new node`,
  });
}

/** Undefined: there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function newId(): string {
  const number = BigInt(`0x${randomBytes(ID_BYTES).toString("hex")}`);
  return number.toString(36).padStart(ID_LENGTH, "0").slice(-ID_LENGTH);
}
