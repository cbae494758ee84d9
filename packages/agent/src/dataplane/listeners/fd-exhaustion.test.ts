import { expect, it } from "vitest";
import { FdExhaustion } from "./fd-exhaustion.js";

it("FdExhaustion warns once a minute and clears the problem a minute after the last occurrence", () => {
  let nowMs = 0;
  const warnings: string[] = [];
  const exhaustion = new FdExhaustion(
    () => nowMs,
    (problem) => warnings.push(problem),
  );
  expect(exhaustion.problem).toBeUndefined();
  for (; nowMs < 90_000; nowMs += 10_000) exhaustion.recordLimitReached(178, 1_024);
  expect(warnings).toHaveLength(2);
  expect(exhaustion.problem).toMatch(
    /178 open connections, .* limit of 1024 open files.*: raise LimitNOFILE=/,
  );
  nowMs += 60_000;
  expect(exhaustion.problem).toBeUndefined();
  exhaustion.recordAcceptFailure("EMFILE");
  expect(warnings[2]).toMatch(/no free file descriptors \(EMFILE\): raise/);
});
