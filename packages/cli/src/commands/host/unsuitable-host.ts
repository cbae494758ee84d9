import { BerthError } from "@berth/proto";

/** Returns the error for a host that cannot be added or removed, with all problems. */
export function unsuitableHostError(
  verb: "add" | "remove",
  destination: string,
  problems: readonly string[],
): BerthError {
  const [first = "", ...others] = problems;
  const text = others.length === 0 ? first : `\n${problems.map((problem) => `  ${problem}`).join("\n")}`;
  return new BerthError({
    code: "BERTH_HOST_UNSUITABLE",
    message: `cannot ${verb} ${destination}:${text.startsWith("\n") ? text : ` ${text}`}`,
  });
}
