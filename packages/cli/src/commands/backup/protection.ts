import type { BackupKey } from "@berth/control-plane/backup";
import { BerthError } from "@berth/proto";
import type { Cli } from "../../process/cli.js";
import { readInput } from "../shared/input-files.js";

export interface BackupKeyOptions {
  readonly passphraseFile?: string;
  readonly identityFile?: string;
}

/** Reads the passphrase or the private keys of a backup. */
export async function readBackupKey(cli: Cli, options: BackupKeyOptions): Promise<BackupKey> {
  const { passphraseFile, identityFile } = options;
  if (identityFile === undefined) {
    return { kind: "passphrase", passphrase: await readPassphrase(cli, passphraseFile, "Passphrase: ") };
  }
  if (passphraseFile !== undefined) throw conflictingOptionsError("--passphrase-file", "--identity-file");
  return { kind: "identities", identities: await readKeys(cli, identityFile) };
}

export interface ProtectionOptions {
  readonly passphraseFile?: string;
  readonly recipient?: readonly string[];
  readonly recipientsFile?: string;
}

/** Encryption of a new backup, as in the request. */
export type Protection =
  | { readonly $case: "passphrase"; readonly value: string }
  | { readonly $case: "recipients"; readonly value: { readonly keys: string[] } };

/** Reads the passphrase or the public keys for a new backup. On a terminal, asks for the passphrase twice. */
export async function readProtection(cli: Cli, options: ProtectionOptions): Promise<Protection> {
  const { passphraseFile, recipient = [], recipientsFile } = options;
  if (recipient.length === 0 && recipientsFile === undefined) {
    const passphrase = await readPassphrase(cli, passphraseFile, "Passphrase for the backup: ");
    if (cli.streams.isInputTty && (passphraseFile ?? "-") === "-") {
      if ((await readPassphrase(cli, "-", "Repeat the passphrase: ")) !== passphrase) {
        throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "the passphrases do not match" });
      }
    }
    return { $case: "passphrase", value: passphrase };
  }
  if (passphraseFile !== undefined) {
    const option = recipient.length > 0 ? "--recipient" : "--recipients-file";
    throw conflictingOptionsError("--passphrase-file", option);
  }
  const keys = recipientsFile === undefined ? [] : await readKeys(cli, recipientsFile);
  return { $case: "recipients", value: { keys: [...recipient, ...keys] } };
}

function readPassphrase(cli: Cli, file: string | undefined, prompt: string): Promise<string> {
  return cli.readSecret({ file: file ?? "-", prompt, what: "passphrase" });
}

/** Reads age keys, one per line. Lines that begin with "#" are comments. */
async function readKeys(cli: Cli, file: string): Promise<string[]> {
  const { bytes, name } = await readInput(cli, file);
  const lines = new TextDecoder().decode(bytes).split("\n");
  const keys = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length > 0) return keys;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${name} contains no key; use a file that age-keygen has created`,
  });
}

function conflictingOptionsError(one: string, other: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${one} and ${other} are mutually exclusive: a backup is encrypted either with a passphrase or for public keys`,
  });
}
