// Runs one target in a thread of its own: its parent can end a thread that hangs.
import { parentPort, workerData } from "node:worker_threads";
import { readCorpus, readSeeds, replaceCorpus, saveFailure } from "./corpus.js";
import { Coverage } from "./coverage.js";
import { fuzz, selectCorpus } from "./fuzz.js";
import { maxBytesOf, type Target } from "./target.js";
import { CurrentInput, type TargetReport, type WorkerTask } from "./worker-messages.js";

const { target: name, file, seed, forMs, corpus, seeds, current } = workerData as WorkerTask;
// The coverage only has the parts of functions that are compiled after its start.
const coverage = new Coverage();
// Only this module is loaded: V8 takes longer to report the coverage of more code.
const exported: Readonly<Record<string, readonly Target[]>> = await import(file);
const known = Object.values(exported)
  .flat()
  .find((each) => each.name === name);
if (known === undefined) throw new Error(`unknown target ${name}`);
const more = seeds === undefined ? [] : readSeeds(seeds, maxBytesOf(known));
const target: Target = { ...known, seeds: [...known.seeds, ...more] };

const kept = readCorpus(corpus, name);
const currentInput = new CurrentInput(current);
const startMs = performance.now();
const { executions, found, failure } = await fuzz(target, {
  seed,
  corpus: kept,
  coverage,
  isOver: () => performance.now() - startMs >= forMs,
  onInput: (input) => currentInput.set(input),
});
const elapsedMs = performance.now() - startMs;
if (failure === undefined && seeds === undefined)
  replaceCorpus(corpus, name, await selectCorpus(target, [...kept, ...found], coverage));
const report: TargetReport = {
  executions,
  elapsedMs,
  newInputs: found.length,
  failure: failure && {
    kind: failure.kind,
    reason: failure.reason,
    file: saveFailure(corpus, name, failure),
  },
};
parentPort?.postMessage(report);
coverage.close();
