import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Admission } from "./admission.js";
import { DeadlineTimer } from "./deadline-timer.js";
import { Quota } from "./quota.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function rig(served: number, waiting: number) {
  const now = (): number => Date.now();
  const onLimitReached = vi.fn();
  const admission = new Admission({
    served: new Quota(() => served),
    waiting: new Quota(() => waiting),
    deadlines: new DeadlineTimer(now),
    now,
    onLimitReached,
  });
  const heard: string[] = [];
  const wait = (name: string) =>
    admission.wait(
      () => heard.push(`${name} served`),
      () => heard.push(`${name} refused`),
    );
  return { admission, heard, wait, onLimitReached };
}

describe("Admission", () => {
  it("admits waiting clients in order, before new ones", () => {
    const { admission, heard, wait, onLimitReached } = rig(1, 2);
    expect([admission.tryAcquire(), admission.tryAcquire()]).toEqual([true, false]);
    const leave = wait("a");
    wait("b");
    expect(wait("c")).toBeUndefined();
    expect(onLimitReached).toHaveBeenCalledTimes(3);
    expect(admission.used).toBe(3);
    leave?.();
    wait("d");
    admission.release();
    expect(heard).toEqual(["b served"]);
    expect(admission.tryAcquire()).toBe(false);
    admission.release();
    admission.release();
    expect(heard).toEqual(["b served", "d served"]);
    expect([admission.used, admission.tryAcquire()]).toEqual([0, true]);
  });

  it("refuses clients after 3 s", async () => {
    const { admission, heard, wait } = rig(1, 9);
    admission.tryAcquire();
    wait("a");
    await vi.advanceTimersByTimeAsync(2_900);
    expect(heard).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(heard).toEqual(["a refused"]);
    admission.release();
    expect([admission.used, heard.length]).toEqual([0, 1]);
  });

  it("drains a long queue of clients that find no endpoint, without recursion", () => {
    const { admission } = rig(1, 50_000);
    admission.tryAcquire();
    let served = 0;
    for (let client = 0; client < 50_000; client += 1) {
      admission.wait(
        () => {
          served += 1;
          admission.release();
        },
        () => {},
      );
    }
    admission.release();
    expect([served, admission.used]).toEqual([50_000, 0]);
  });
});
