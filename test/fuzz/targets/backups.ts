import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { Authority, Authority_State } from "@berth/proto";
import { decrypt } from "../../../packages/control-plane/src/backup/age.js";
import {
  type BackupPart,
  formatPart,
  SummaryBuilder,
} from "../../../packages/control-plane/src/backup/backup-format.js";
import { parseArchive } from "../../../packages/control-plane/src/backup/read-backup.js";
import { ClusterKey, keyVersion } from "../../../packages/control-plane/src/identity/cluster-key.js";
import { ROOT } from "../../../packages/control-plane/src/store/keys.js";
import { check, checkEqual, isTypedError } from "../engine/expect.js";
import type { Target } from "../engine/target.js";

/** The content of `CONTENT`, encrypted for `PRIVATE_KEY`. */
const ENVELOPE = readFileSync(new URL("backup.age", import.meta.url));
/** Used only for this test data. */
const PRIVATE_KEY = "AGE-SECRET-KEY-1UW4UJFJWHSP27787CLK2EAXTNGEVTUZNTWXRPN3ELNHARCDLHYUQ25X972";

const AUTHORITY = Authority.fromPartial({
  fingerprint: "ab".repeat(32),
  certificate: "PEM",
  sealedKey: Buffer.from("sealed"),
  state: Authority_State.ISSUING,
  createdAtMs: 1,
});
const PARTS: readonly BackupPart[] = [
  {
    kind: "header",
    header: {
      cluster: "berth-fuzz",
      createdAtMs: 1,
      revision: 7,
      generation: 0,
      berthVersion: "0.2.0",
      servers: ["10.0.0.1:7400"],
    },
  },
  {
    kind: "secrets",
    secrets: { clusterKey: new ClusterKey(keyVersion(Buffer.alloc(32, 7))), etcdAuthorities: [AUTHORITY] },
  },
  {
    kind: "record",
    record: {
      key: `${ROOT}authorities/${AUTHORITY.fingerprint}`,
      value: JSON.stringify(Authority.toJSON(AUTHORITY)),
    },
  },
  { kind: "record", record: { key: `${ROOT}policies/cluster`, value: "{}" } },
  { kind: "end", records: 2 },
];
const CONTENT = PARTS.map(formatPart).join("");

export const BACKUP_TARGETS: readonly Target[] = [
  {
    name: "backup-content",
    seeds: [CONTENT],
    run: async (bytes) => {
      const parts = await readParts(gzipSync(bytes));
      if (parts === undefined) return;
      checkEqual(parts.map(({ kind }) => kind).slice(0, 2), ["header", "secrets"], "the parts are in order");
      checkEqual(parts.at(-1), { kind: "end", records: parts.length - 3 }, "no record is missing");
      check(
        parts.every((part) => part.kind !== "record" || part.record.key.startsWith(ROOT)),
        "a backup has keys of berth only",
      );
      const again = await readParts(gzipSync(parts.map(formatPart).join("")));
      checkEqual(again?.map(formatPart), parts.map(formatPart), "a backup survives being written again");
    },
  },
  {
    name: "backup-archive",
    seeds: [gzipSync(CONTENT), gzipSync(Buffer.alloc(1024 * 1024, "\n"))],
    run: async (bytes) => void (await readParts(bytes)),
  },
  {
    name: "backup-envelope",
    seeds: [ENVELOPE],
    tokens: ["age-encryption.org/v1\n", "-> X25519 ", "-> scrypt ", "\n--- "],
    run: async (bytes) => {
      try {
        const chunks: Uint8Array[] = [];
        const key = { kind: "identities", identities: [PRIVATE_KEY] } as const;
        for await (const chunk of await decrypt("backup", streamOf(bytes), key)) chunks.push(chunk);
        check(bytes.subarray(0, ENVELOPE.length).equals(ENVELOPE), "a changed backup is not decrypted");
        checkEqual(Buffer.concat(chunks).toString(), CONTENT, "the content is that which was encrypted");
      } catch (error) {
        if (!isTypedError(error)) throw error;
      }
    },
  },
];

/** Returns undefined if the archive is rejected. */
async function readParts(archive: Uint8Array): Promise<readonly BackupPart[] | undefined> {
  const parts: BackupPart[] = [];
  const summary = new SummaryBuilder();
  try {
    for await (const part of parseArchive("backup", streamOf(archive))) {
      summary.add(part);
      parts.push(part);
    }
  } catch (error) {
    if (isTypedError(error)) return undefined;
    throw error;
  }
  summary.build();
  return parts;
}

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
