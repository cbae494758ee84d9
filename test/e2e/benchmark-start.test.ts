import { testBenchmark } from "./support/benchmark.js";

testBenchmark("start");
