import { testBenchmark } from "./support/benchmark.js";

testBenchmark("commands", "cli");
