import { access } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError } from "@berth/proto";
import {
  type CertificateFacts,
  certificateFacts,
  IdentityDirectory,
  type IdentityFiles,
  parseCertificate,
} from "@berth/proto/identity";
import type { IdentityLocation } from "./contexts.js";

/** The identity of a context. */
export interface ContextIdentity {
  readonly location: IdentityLocation;
  readonly files: IdentityFiles;
  /** Contents of the certificate. */
  readonly facts: CertificateFacts;
}

/**
 * Maximum number of attempts to read a certificate and its key. A concurrent renewal replaces the two files one after
 * another, so a mismatch is read again.
 */
const LOAD_ATTEMPTS = 4;

/** Pause between two attempts. */
const LOAD_RETRY_MS = 25;

/**
 * Loads the identity of a context.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged
 */
export async function loadContextIdentity(location: IdentityLocation): Promise<ContextIdentity> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await loadOnce(location);
    } catch (error) {
      if (attempt < LOAD_ATTEMPTS) {
        await sleep(LOAD_RETRY_MS);
      } else if (isBerthError(error)) {
        throw error;
      } else {
        throw unusableIdentityError(location, error instanceof Error ? error.message : String(error), error);
      }
    }
  }
}

async function loadOnce(location: IdentityLocation): Promise<ContextIdentity> {
  const { directory: path } = location;
  // IdentityDirectory.open would create it.
  await access(path);
  const files = await (await IdentityDirectory.open(path)).load();
  if (files === undefined) throw unusableIdentityError(location, "it has no certificate");
  return { location, files, facts: certificateFacts(parseCertificate(files.certificate)) };
}

function unusableIdentityError({ directory }: IdentityLocation, why: string, cause?: unknown): BerthError {
  const message = `cannot use the identity in ${directory}: ${why}`;
  return new BerthError({ code: "BERTH_IDENTITY_INVALID", message, cause });
}
