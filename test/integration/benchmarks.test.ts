import { expect, it } from "vitest";
import { isInstalled, runSmoke } from "../bench/run-smoke.js";

const TIMEOUT_MS = 300_000;

const BENCHMARKS = [
  { name: "schedule", figure: "schedule.flatness", programs: [] },
  { name: "compose", figure: "compose.growth", programs: [] },
  { name: "page", figure: "page.heap", programs: ["chromium"] },
  { name: "scale", figure: "scale.tasks_per_s", programs: ["etcd"] },
  { name: "handshakes", figure: "handshakes.cpu_vs_bare", programs: ["etcd"] },
  { name: "dataplane", figure: "ingress.balance_max_min", programs: ["nft"] },
  { name: "ingress", figure: "ingress.kernel_vs_haproxy.close_1", programs: ["haproxy", "nginx", "wrk"] },
];

for (const { name, figure, programs } of BENCHMARKS) {
  it.skipIf(!programs.every(isInstalled))(
    `the benchmark ${name} runs in its smallest size`,
    { timeout: TIMEOUT_MS },
    async () => {
      expect(await runSmoke(name)).toEqual({ code: 0, output: expect.stringContaining(figure) });
    },
  );
}
