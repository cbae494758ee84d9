import { describe, expect, it } from "vitest";
import type { Probe } from "./probe-host.js";
import { probeUntilSilent } from "./probe-until-silent.js";

const TARGET = { address: "192.0.2.1", port: 1, tries: 1, tryMs: 1, everyMs: 1 };

/** Answers as listed, and then as the last one. */
function answering(...answers: readonly boolean[]): { probe: Probe; asked: () => number } {
  let asked = 0;
  const probe: Probe = async () => answers[Math.min(asked++, answers.length - 1)] === true;
  return { probe, asked: () => asked };
}

describe("untilSilent()", () => {
  it("tells of the first silence after an answer", async () => {
    const { probe, asked } = answering(true, true, false);
    expect(await probeUntilSilent({ ...TARGET, probe }, new AbortController().signal)).toBe(true);
    expect(asked()).toBe(3);
  });

  it("judges a host at once that is known to answer", async () => {
    const { probe, asked } = answering(false);
    const options = { ...TARGET, probe, hasAnswered: true };
    expect(await probeUntilSilent(options, new AbortController().signal)).toBe(true);
    expect(asked()).toBe(1);
  });

  it("does not judge a host that never answered", async () => {
    const over = new AbortController();
    const { probe, asked } = answering(false);
    const verdict = probeUntilSilent({ ...TARGET, probe }, over.signal);
    while (asked() < 3) await new Promise((resolve) => setTimeout(resolve, 1));
    over.abort();
    expect(await verdict).toBe(false);
  });
});
