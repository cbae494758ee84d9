import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Disk } from "../runtime/disk.js";

const FILE = "wireguard.key";
const KEY_BYTES = 32;
/** What PKCS #8 puts before the 32 bytes of an X25519 key (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/** As WireGuard writes them: 32 bytes in Base64. */
export interface WireguardKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** The key of this host, made when it has none. It never leaves the host. */
export async function hostWireguardKey(disk: Disk): Promise<WireguardKey> {
  const stored = (await disk.read(FILE))?.trim() ?? "";
  if (Buffer.from(stored, "base64").length === KEY_BYTES) return keyFrom(stored);
  const { privateKey } = generateKeyPairSync("x25519");
  const made = rawKey(privateKey, "d");
  await disk.write(FILE, `${made}\n`);
  return keyFrom(made);
}

export function keyFrom(privateKey: string): WireguardKey {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, Buffer.from(privateKey, "base64")]),
    format: "der",
    type: "pkcs8",
  });
  return { privateKey, publicKey: rawKey(createPublicKey(key), "x") };
}

function rawKey(key: KeyObject, field: "d" | "x"): string {
  return Buffer.from(key.export({ format: "jwk" })[field] ?? "", "base64url").toString("base64");
}
