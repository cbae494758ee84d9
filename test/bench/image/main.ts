// `npm run bench -- image`: distributes an image of eight layers from a laptop to three Docker hosts, and again with
// one layer changed. `berth image push`, `docker save | docker load`, and push and pull through a registry take turns
// with the same content on the same network.
import { readFile } from "node:fs/promises";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { withBenchLab } from "../lab.js";
import { startRegistry } from "../peer/registry.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import {
  berthDistributor,
  type Distributor,
  type DistributorName,
  type ImageLab,
  registryDistributor,
  removeImage,
  saveLoadDistributor,
} from "./distributors.js";
import { createLayers, type Layer, loadTestImage } from "./test-image.js";

const NODES = 3;
const LAYERS = 8;
const FULL_LAYER_BYTES = 25_000_000;
const SMOKE_LAYER_BYTES = 100_000;
const MAX_FIRST_BYTES_RATIO = 1.05;
const MAX_CHANGED_BYTES_RATIO = 1.1;
/** Goal for the duration relative to a registry: berth must be faster. */
const MAX_RATIO_TO_REGISTRY = 1;

interface Transfer {
  readonly seconds: number;
  /** Mean number of bytes that a node received for each byte of the layers that it lacked. */
  readonly bytesRatio: number;
}

interface Transfers {
  readonly first: Transfer;
  readonly changed: Transfer;
}

type Round = Readonly<Record<DistributorName, Transfers>>;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const { signal, isSmoke } = context;
  return withBenchLab({ tag: "i", hosts: NODES + 1, hasBerth: true }, context, async (lab) => {
    const nodes = lab.hosts.slice(0, NODES);
    const laptop = lab.host(`h${NODES + 1}`);
    await laptop.killProcess("agent");
    const { code, stderr } = await lab.berth(["node", "rm", "--force", laptop.name], { signal });
    if (code !== 0) throw new Error(`cannot remove node ${laptop.name}: ${stderr}`);
    const imageLab = { lab, laptop, nodes, registry: await startRegistry(lab, signal), signal };
    if (!isSmoke) {
      context.progress("warming up");
      await measureRound(imageLab, { run: 0, layerBytes: SMOKE_LAYER_BYTES, progress: () => {} });
    }
    const rounds: Round[] = [];
    for (let run = 1; run <= context.runs; run += 1) {
      const layerBytes = isSmoke ? SMOKE_LAYER_BYTES : FULL_LAYER_BYTES;
      const progress = (line: string): void => context.progress(`run ${run} ${line}`);
      rounds.push(await measureRound(imageLab, { run, layerBytes, progress }));
    }
    return figuresOf(rounds);
  });
}

interface RoundOptions {
  readonly run: number;
  readonly layerBytes: number;
  readonly progress: (line: string) => void;
}

async function measureRound(lab: ImageLab, { run, layerBytes, progress }: RoundOptions): Promise<Round> {
  const layers = await createLayers(LAYERS, layerBytes);
  const last = await createLayers(1, layerBytes);
  const changed = [...layers.slice(0, -1), ...last];
  const measureOne = async (distributor: Distributor): Promise<Transfers> => {
    const images = { first: `bench:${run}`, changed: `bench:${run}-changed` };
    const result = await measureTransfers(lab, distributor, { images, layers, changed, last });
    for (const [name, { seconds, bytesRatio }] of Object.entries(result)) {
      const text = `${seconds.toFixed(2)} s, ${bytesRatio.toFixed(3)} bytes a byte of the layers`;
      progress(`${distributor.name.padEnd(9)} ${name.padEnd(7)} ${text}`);
    }
    return result;
  };
  return {
    berth: await measureOne(berthDistributor(lab)),
    save_load: await measureOne(saveLoadDistributor(lab)),
    registry: await measureOne(registryDistributor(lab)),
  };
}

interface TransferOptions {
  readonly images: { readonly first: string; readonly changed: string };
  readonly layers: readonly Layer[];
  readonly changed: readonly Layer[];
  /** The layer that replaces the last one in the changed image. */
  readonly last: readonly Layer[];
}

/** Measures both transfers, then removes the images from all machines. */
async function measureTransfers(
  lab: ImageLab,
  distributor: Distributor,
  { images, layers, changed, last }: TransferOptions,
): Promise<Transfers> {
  const { laptop, nodes, signal } = lab;
  const { dockerSocket } = laptop;
  const firstImage = await loadTestImage(layers, { name: images.first, dockerSocket, signal });
  const first = await measureTransfer(lab, distributor, { image: images.first, missing: layers });
  const changedImage = await loadTestImage(changed, { name: images.changed, dockerSocket, signal });
  const again = await measureTransfer(lab, distributor, { image: images.changed, missing: last });
  for (const host of [laptop, ...nodes]) {
    for (const { id } of [changedImage, firstImage]) await removeImage(host, id);
  }
  return { first, changed: again };
}

async function measureTransfer(
  { nodes }: ImageLab,
  { prepare, distribute }: Distributor,
  { image, missing }: { readonly image: string; readonly missing: readonly Layer[] },
): Promise<Transfer> {
  await prepare?.(image);
  const before = await receivedBytes(nodes);
  const startMs = performance.now();
  await distribute(image);
  const seconds = (performance.now() - startMs) / 1_000;
  const received = (await receivedBytes(nodes)) - before;
  const missingBytes = missing.reduce((sum, { content }) => sum + content.length, 0);
  return { seconds, bytesRatio: received / (nodes.length * missingBytes) };
}

/** Returns the total number of bytes that the hosts' network interfaces have received. */
async function receivedBytes(hosts: readonly LabHost[]): Promise<number> {
  let bytes = 0;
  for (const { name, initPid } of hosts) {
    const [, received] = /^\s*eth0:\s*(\d+)/m.exec(await readFile(`/proc/${initPid}/net/dev`, "utf8")) ?? [];
    if (received === undefined) throw new Error(`${name} has no network interface eth0`);
    bytes += Number(received);
  }
  return bytes;
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const runs = (peer: DistributorName, stage: keyof Transfers, value: keyof Transfer): number[] =>
    rounds.map((round) => round[peer][stage][value]);
  const figure = (
    stage: keyof Transfers,
    { value, ...fields }: Pick<Figure, "name" | "unit" | "goal"> & { readonly value: keyof Transfer },
  ): Figure =>
    figureOf({
      ...fields,
      peer: {
        save_load: median(runs("save_load", stage, value)),
        registry: median(runs("registry", stage, value)),
      },
      runs: runs("berth", stage, value),
    });
  const ratio = (stage: keyof Transfers): number[] =>
    rounds.map(({ berth, registry }) => berth[stage].seconds / registry[stage].seconds);
  const atMost = (value: number) => ({ goal: { kind: "at-most", value } }) as const;
  return [
    figure("first", {
      name: "image.first_bytes_ratio",
      unit: "x",
      value: "bytesRatio",
      ...atMost(MAX_FIRST_BYTES_RATIO),
    }),
    figure("changed", {
      name: "image.changed_bytes_ratio",
      unit: "x",
      value: "bytesRatio",
      ...atMost(MAX_CHANGED_BYTES_RATIO),
    }),
    figure("first", { name: "image.first_s", unit: "s", value: "seconds" }),
    figure("changed", { name: "image.changed_s", unit: "s", value: "seconds" }),
    figureOf({
      name: "image.first_vs_registry",
      unit: "x",
      runs: ratio("first"),
      ...atMost(MAX_RATIO_TO_REGISTRY),
    }),
    figureOf({
      name: "image.changed_vs_registry",
      unit: "x",
      runs: ratio("changed"),
      ...atMost(MAX_RATIO_TO_REGISTRY),
    }),
  ];
}

process.exitCode = await runBench(
  {
    name: "image",
    programs: {
      docker: ["dockerd", "--version"],
      registry: ["docker-registry", "--version"],
    },
    measure,
  },
  process.argv.slice(2),
);
