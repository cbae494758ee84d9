// Entry point of a worker thread, which fuzzes one target. Its parent can terminate the thread if it hangs.
import { parentPort, workerData } from "node:worker_threads";
import { readCorpus, readSeeds, replaceCorpus, saveFailure } from "./corpus.js";
import { Coverage } from "./coverage.js";
import { fuzz, selectCorpus } from "./fuzz.js";
import { maxBytesOf, type Target } from "./target.js";
import { CurrentInput, type TargetReport, type WorkerTask } from "./worker-messages.js";

const { target: name, file, seed, forMs, corpus, seeds, current } = workerData as WorkerTask;
// Start before importing the target: coverage only includes functions that are compiled later.
const coverage = new Coverage();
// Load only this module, because V8 takes longer to report the coverage of more code.
const exported: Readonly<Record<string, readonly Target[]>> = await import(file);
const declared = Object.values(exported)
  .flat()
  .find((each) => each.name === name);
if (declared === undefined) throw new Error(`unknown target ${name}`);
const additionalSeeds = seeds === undefined ? [] : readSeeds(seeds, maxBytesOf(declared));
const target: Target = { ...declared, seeds: [...declared.seeds, ...additionalSeeds] };

const keptInputs = readCorpus(corpus, name);
const currentInput = new CurrentInput(current);
const startMs = performance.now();
const { executions, found, failure } = await fuzz(target, {
  seed,
  corpus: keptInputs,
  coverage,
  isOver: () => performance.now() - startMs >= forMs,
  onInput: (input) => currentInput.set(input),
});
const elapsedMs = performance.now() - startMs;
if (failure === undefined && seeds === undefined)
  replaceCorpus(corpus, name, await selectCorpus(target, [...keptInputs, ...found], coverage));
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
