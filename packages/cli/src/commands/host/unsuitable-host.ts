import { BerthError } from "@berth/proto";

/** Returns the error for a host that cannot be added or removed, with all problems. */
export function unsuitableHostError(
  verb: "add" | "remove",
  destination: string,
  problems: readonly string[],
): BerthError {
  const summary = `cannot ${verb} ${destination}:`;
  const message =
    problems.length === 1
      ? `${summary} ${problems[0]}`
      : [summary, ...problems.map((problem) => `  ${problem}`)].join("\n");
  return new BerthError({ code: "BERTH_HOST_UNSUITABLE", message });
}
