import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import timersPromises from "node:timers/promises";
import type { Rng } from "./rng.js";
import type { Scheduler } from "./scheduler.js";

/** Wall clocks start at a fixed time, so that the trace depends on the seed only. */
const EPOCH_MS = Date.UTC(2030, 0, 1);

/** Number of CPUs of every host. */
export const MACHINE_CPUS = 4;
/** Memory of every host. */
export const MACHINE_MEMORY_BYTES = 4 * 1024 ** 3;

/** The simulation that the replaced functions of Node.js use. */
export interface VirtualTime {
  readonly scheduler: Scheduler;
  readonly rng: Rng;
  /** Returns the error of a host's wall clock. */
  skewMs(host: string): number;
}

let running: VirtualTime | undefined;
let isInstalled = false;

/** Returns the wall-clock time of the current actor's host, in milliseconds since the epoch. */
export function virtualNow({ scheduler, skewMs }: Pick<VirtualTime, "scheduler" | "skewMs">): number {
  return EPOCH_MS + Math.floor(scheduler.nowMs) + skewMs(scheduler.current?.host ?? "");
}

/**
 * Replaces the clocks, timers and random numbers of Node.js while an event of the simulation runs. Outside of events
 * they are the real ones. This covers every dependency of the code under test.
 */
export function enterVirtualTime(time: VirtualTime): () => void {
  if (!isInstalled) install();
  isInstalled = true;
  running = time;
  return () => {
    running = undefined;
  };
}

function active(): VirtualTime | undefined {
  return running?.scheduler.isRunning === true ? running : undefined;
}

/** Returns the delay that Node.js uses: whole milliseconds, at least one. A timer may fire early by a fraction. */
export function timerMs(delayMs: number): number {
  return delayMs >= 1 ? Math.trunc(delayMs) : 1;
}

/** The part of Node.js's Timeout that the code uses. */
class VirtualTimer {
  readonly cancel: () => void;

  constructor(cancel: () => void) {
    this.cancel = cancel;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }
}

type Callback = (...args: unknown[]) => void;

function install(): void {
  installTimers();
  installPromisedTimers();
  installClocks();
  installRandomness();
  installMachine();
  syncBuiltinESMExports();
}

function installTimers(): void {
  const real = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate };
  const once = (
    { scheduler }: VirtualTime,
    run: Callback,
    delayMs: number,
    args: unknown[],
  ): VirtualTimer => {
    return new VirtualTimer(scheduler.after(delayMs, scheduler.current, () => run(...args)));
  };
  const every = (
    { scheduler }: VirtualTime,
    run: Callback,
    delayMs: number,
    args: unknown[],
  ): VirtualTimer => {
    const actor = scheduler.current;
    let cancel: () => void = () => {};
    const arm = (): void => {
      cancel = scheduler.after(delayMs, actor, () => {
        arm();
        run(...args);
      });
    };
    arm();
    return new VirtualTimer(() => cancel());
  };
  const clear = (realClear: (timer: never) => void) => (timer: unknown) => {
    if (timer instanceof VirtualTimer) timer.cancel();
    else realClear(timer as never);
  };
  Object.assign(globalThis, {
    setTimeout: (run: Callback, delayMs = 1, ...args: unknown[]) => {
      const time = active();
      return time ? once(time, run, timerMs(delayMs), args) : real.setTimeout(run, delayMs, ...args);
    },
    setInterval: (run: Callback, delayMs = 1, ...args: unknown[]) => {
      const time = active();
      return time ? every(time, run, timerMs(delayMs), args) : real.setInterval(run, delayMs, ...args);
    },
    setImmediate: (run: Callback, ...args: unknown[]) => {
      const time = active();
      return time ? once(time, run, 0, args) : real.setImmediate(run, ...args);
    },
    clearTimeout: clear(real.clearTimeout),
    clearInterval: clear(real.clearInterval),
    clearImmediate: clear(real.clearImmediate),
  });
}

function installPromisedTimers(): void {
  const real = timersPromises.setTimeout;
  Object.assign(timersPromises, {
    setTimeout: (delayMs = 1, value?: unknown, options: { signal?: AbortSignal } = {}) => {
      return active() ? sleep(delayMs, value, options.signal) : real(delayMs, value, options);
    },
  });
  const realTimeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (delayMs) => {
    if (!active()) return realTimeout(delayMs);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException("the operation timed out", "TimeoutError")), delayMs);
    return controller.signal;
  };
}

function sleep(delayMs: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const aborted = (): Error => new DOMException("the operation was aborted", "AbortError");
    if (signal?.aborted) return reject(aborted());
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(aborted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve(value);
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function installClocks(): void {
  const RealDate = Date;
  const realNow = Date.now;
  const now = (): number => {
    const time = active();
    return time ? virtualNow(time) : realNow();
  };
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length > 0 ? args : [now()], newTarget),
    get: (target, key, receiver) => (key === "now" ? now : Reflect.get(target, key, receiver)),
  });
  const realMonotonic = performance.now.bind(performance);
  performance.now = () => active()?.scheduler.nowMs ?? realMonotonic();
}

/** Hides the real machine from the simulation. */
function installMachine(): void {
  const real = { cpus: os.cpus, totalmem: os.totalmem };
  const cpu = { model: "virtual", speed: 1_000, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } };
  Object.assign(os, {
    cpus: () => (active() ? Array.from({ length: MACHINE_CPUS }, () => cpu) : real.cpus()),
    totalmem: () => (active() ? MACHINE_MEMORY_BYTES : real.totalmem()),
  });
}

function installRandomness(): void {
  const real = { random: Math.random, randomBytes: crypto.randomBytes, randomUUID: crypto.randomUUID };
  const virtualBytes = (rng: Rng, size: number): Buffer => {
    return Buffer.from(Array.from({ length: size }, () => rng.int(0, 255)));
  };
  Math.random = () => active()?.rng.next() ?? real.random();
  Object.assign(crypto, {
    randomBytes: (size: number) => {
      const time = active();
      return time ? virtualBytes(time.rng, size) : real.randomBytes(size);
    },
    randomUUID: () => {
      const time = active();
      return time ? virtualBytes(time.rng, 16).toString("hex") : real.randomUUID();
    },
  });
}
