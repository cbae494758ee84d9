import { expect, it } from "vitest";
import { FdExhaustion } from "./fd-exhaustion.js";

it("Shortage tells once a minute what is short and what to do, and forgets it when it is over", () => {
  let nowMs = 0;
  const said: string[] = [];
  const shortage = new FdExhaustion(
    () => nowMs,
    (problem) => said.push(problem),
  );
  expect(shortage.problem).toBeUndefined();
  for (; nowMs < 90_000; nowMs += 10_000) shortage.full(178, 1_024);
  expect(said).toHaveLength(2);
  expect(shortage.problem).toMatch(/178 connections, .* limit of 1024 open files .*; raise LimitNOFILE=/);
  nowMs += 60_000;
  expect(shortage.problem).toBeUndefined();
  shortage.failed("EMFILE");
  expect(said[2]).toMatch(/no more files \(EMFILE\); raise/);
});
