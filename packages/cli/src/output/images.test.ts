import { expect, test } from "vitest";
import { diskUsageListing } from "./images.js";
import { formatTable } from "./table.js";

test("diskUsageListing shows the disk usage of each node, and nothing for a node that did not report it", () => {
  const { columns, rows, json } = diskUsageListing([
    { node: "h1", images: 3, usage: { images: 812_000_000, layers: 1_048_576, shipped: 0 } },
    { node: "h2", images: 1, usage: undefined },
  ]);
  expect(`\n${formatTable(columns, rows)}`).toMatchInlineSnapshot(`
    "
    NODE   IMAGES   SIZE       LAYERS FOR OTHER NODES   SHIPPED MOUNTS
    h1     3        774.4MiB   1MiB                     0B
    h2     1
    "
  `);
  expect(rows.map(json)).toEqual([
    { node: "h1", images: 3, imagesBytes: 812_000_000, layersBytes: 1_048_576, shippedBytes: 0 },
    { node: "h2", images: 1, imagesBytes: null, layersBytes: null, shippedBytes: null },
  ]);
});
