import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStateDirectory } from "../runtime/state-directory.js";
import { hostWireguardKey, keyFrom } from "./wireguard-key.js";

const silent = { warn: () => {} };

test("keyFrom derives the public key of RFC 7748 §6.1", () => {
  const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64");
  const alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
  const { publicKey } = keyFrom(base64(alice));
  expect(publicKey).toBe(base64("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
});

test("hostWireguardKey stores the key so that only its owner can read it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "berth-key-"));
  try {
    const generated = await hostWireguardKey(openStateDirectory(directory), silent);
    expect(Buffer.from(generated.publicKey, "base64")).toHaveLength(32);
    expect(await hostWireguardKey(openStateDirectory(directory), silent)).toEqual(generated);
    expect(statSync(join(directory, "wireguard.key")).mode & 0o077).toBe(0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("hostWireguardKey keeps a damaged key under another name, and says so", async () => {
  const directory = mkdtempSync(join(tmpdir(), "berth-key-"));
  const warnings: string[] = [];
  try {
    writeFileSync(join(directory, "wireguard.key"), "half a k");
    const created = await hostWireguardKey(openStateDirectory(directory), {
      warn: (message: string) => warnings.push(message),
    });
    expect(await hostWireguardKey(openStateDirectory(directory), silent)).toEqual(created);
    expect(readFileSync(join(directory, "wireguard.key.damaged"), "utf8")).toBe("half a k");
    expect(warnings).toEqual([expect.stringContaining("wireguard.key does not contain a key")]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
