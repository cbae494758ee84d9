import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Returns the path of a file for virtual machines. */
export function guestFile(name: string): string {
  return fileURLToPath(new URL(`guest/${name}`, import.meta.url));
}

export function readGuestFile(name: string): Promise<string> {
  return readFile(guestFile(name), "utf8");
}
