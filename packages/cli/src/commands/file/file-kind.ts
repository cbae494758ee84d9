import { FileKind } from "@berth/proto";

/** The noun of the command groups `berth secret` and `berth config`, which have the same commands. */
export type FileNoun = "secret" | "config";

export function fileKindOf(noun: FileNoun): FileKind {
  return noun === "secret" ? FileKind.SECRET : FileKind.CONFIG;
}
