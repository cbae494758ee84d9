import {
  type BackupSummary,
  BerthError,
  type CreateBackupRequest,
  type CreateBackupResponse,
} from "@berth/proto";
import { type BackupProtection, validateProtection } from "../../backup/age.js";
import { writeBackup } from "../../backup/write-backup.js";
import { linkSignals } from "../../runtime/abort.js";
import type { ApiContext } from "../api-context.js";

/**
 * Streams an encrypted backup, followed by its summary. The audit log has the call before any record is read.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_ETCD_UNAVAILABLE, BERTH_UNSUPPORTED in a simulation
 */
export async function* createBackup(
  request: CreateBackupRequest,
  context: ApiContext,
  callSignal: AbortSignal,
): AsyncGenerator<CreateBackupResponse> {
  const { secrets, state, runtime, store, writer, servers } = context;
  const protection = protectionOf(request);
  validateProtection(protection);
  if (secrets === undefined) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: "cannot create a backup: this server has no cluster key",
    });
  }
  const link = linkSignals(callSignal, context.signal);
  try {
    await writer.submit(() => ({ changes: [], result: undefined }), link.signal);
    const generation = state.restore?.generation ?? 0;
    const nowMs = runtime.wallClockMs();
    const options = { store, secrets, protection, generation, servers: servers(), nowMs };
    const bytes = writeBackup(options, link.signal);
    let next: IteratorResult<Uint8Array, BackupSummary> = await bytes.next();
    for (; next.done !== true; next = await bytes.next()) {
      yield { part: { $case: "data", value: Buffer.from(next.value) } };
    }
    yield { part: { $case: "summary", value: next.value } };
  } finally {
    link.unlink();
    link.abort("the backup has ended");
  }
}

function protectionOf({ protection }: CreateBackupRequest): BackupProtection {
  switch (protection?.$case) {
    case "passphrase":
      return { kind: "passphrase", passphrase: protection.value };
    case "recipients":
      return { kind: "recipients", recipients: protection.value.keys };
    case undefined:
      throw new BerthError({
        code: "BERTH_INPUT_INVALID",
        message: "a backup must be encrypted; set a passphrase or public keys",
      });
  }
}
