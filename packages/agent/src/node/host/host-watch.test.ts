import { type HostListener, PortSpec_Protocol } from "@berth/proto";
import { expect, it } from "vitest";
import { HostWatch } from "./host-watch.js";

const LISTENER: HostListener = { protocol: PortSpec_Protocol.TCP, address: "", port: 80 };

it("HostWatch keeps the last listeners while they cannot be read", async () => {
  const reports: (readonly HostListener[])[] = [];
  const stop = new AbortController();
  let reads = 0;
  const listeners = async (): Promise<readonly HostListener[]> => {
    reads += 1;
    // Ends the pause after this read.
    watch.engineConnected();
    if (reads === 4) stop.abort();
    if (reads > 2) throw new Error("EMFILE: too many open files");
    return [LISTENER];
  };
  const watch = new HostWatch({
    host: { listeners },
    engine: { volumes: async () => [] },
    berthPorts: () => [],
    onListeners: (reported) => reports.push(reported),
    onVolumes: () => {},
    onVolumesUnknown: () => {},
  });
  await watch.run(stop.signal);
  // A listener counts once two reads in a row have found it.
  expect(reports).toEqual([[], [LISTENER]]);
});
