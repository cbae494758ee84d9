import { BlockIo, type BlockIo_ThrottledDevice, type BlockIo_WeightedDevice } from "@berth/proto";
import { type Cursor, readBytes, readInteger, readItems, readText } from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

const WEIGHT_RANGE = { min: 0, max: 1_000 };

/** Reads `blkio_config`: the limits of a container's access to disks. */
export function readBlockIo(cursor: Cursor, draft: ServiceDraft): void {
  const blockIo = BlockIo.fromPartial({});
  applyKeys(cursor, BLOCK_IO_KEYS, blockIo);
  draft.container.blockIo = blockIo;
  draft.origins.set("task.container.block_io", cursor);
}

const BLOCK_IO_KEYS: KeyTable<BlockIo> = {
  weight: rule(readWeight, (blockIo, weight) => {
    blockIo.weight = weight;
  }),
  weight_device: (cursor, { weightDevices }) => {
    for (const item of readItems(cursor) ?? []) {
      const device: BlockIo_WeightedDevice = { path: "", weight: 0 };
      applyKeys(item, WEIGHT_KEYS, device);
      weightDevices.push(device);
    }
  },
  device_read_bps: throttleRule(({ readBytes }) => readBytes),
  device_write_bps: throttleRule(({ writeBytes }) => writeBytes),
  device_read_iops: throttleRule(({ readOperations }) => readOperations),
  device_write_iops: throttleRule(({ writeOperations }) => writeOperations),
};

function throttleRule(devicesOf: (blockIo: BlockIo) => BlockIo_ThrottledDevice[]): KeyRule<BlockIo> {
  return (cursor, blockIo) => {
    for (const item of readItems(cursor) ?? []) {
      const device: BlockIo_ThrottledDevice = { path: "", rate: 0 };
      applyKeys(item, THROTTLE_KEYS, device);
      devicesOf(blockIo).push(device);
    }
  };
}

function readWeight(cursor: Cursor): number | undefined {
  return readInteger(cursor, WEIGHT_RANGE);
}

const WEIGHT_KEYS: KeyTable<BlockIo_WeightedDevice> = {
  path: rule(readText, (device, path) => {
    device.path = path;
  }),
  weight: rule(readWeight, (device, weight) => {
    device.weight = weight;
  }),
};

const THROTTLE_KEYS: KeyTable<BlockIo_ThrottledDevice> = {
  path: rule(readText, (device, path) => {
    device.path = path;
  }),
  rate: rule(readBytes, (device, rate) => {
    device.rate = rate;
  }),
};
